"""Weights for inference: from a checkpoint onto any mesh, by any rules, in the dtype asked for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.errors import CheckpointError, ConfigError
from hclx.infer import (
    INFERENCE_RULES,
    EmbeddedEngine,
    EngineConfig,
    GenerateRequest,
    SamplingConfig,
    ScoreRequest,
    load_for_inference,
    prepare_params,
)
from hclx.model import abstract_params
from hclx.parallel import make_mesh
from hclx.train import Checkpointer, abstract_state, init_state
from hclx.train.checkpoint_format import LoopState
from hclx.train.run_dir import claim_folder, describe_run
from tests.helpers.decoder import drawn_params

MODEL = ModelConfig(vocab_size=1024, n_layers=2, d_model=32, n_heads=4, max_length=64, init_std=0.3)
TRAIN = TrainConfig(sequence_length=64, total_steps=300)
HASHES = {"vocabulary": "v", "text": "t"}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A run with one checkpoint, of untrained parameters."""
    folder = tmp_path_factory.mktemp("run")
    experiment = Experiment(
        MODEL,
        ComputeConfig(),
        MeshConfig(),
        OptimizerConfig(),
        DataConfig(input="none.txt"),
        TokenizerConfig(),
        TRAIN,
    )
    claim_folder(folder, describe_run(experiment, "tokenizer", HASHES))
    optimizer = optax.sgd(0.1)
    abstract = abstract_state(MODEL, TRAIN, optimizer, make_mesh(MeshConfig()))
    with Checkpointer(folder) as checkpointer:
        state = init_state(MODEL, TRAIN, optimizer, abstract)
        checkpointer.save(state, LoopState(0, []), {"hashes": HASHES})
    return folder


def texts(model, tokenizer):
    """Tokens of three prompts, greedy and sampled."""
    settings = [
        SamplingConfig(max_tokens=20, temperature=0.0),
        SamplingConfig(max_tokens=12, temperature=1.0, top_p=0.9, seed=1),
        SamplingConfig(max_tokens=20, temperature=1.0, top_k=50, top_p=1.0, seed=2),
    ]
    requests = map(GenerateRequest, ["가", "나다", ""], settings)
    with EmbeddedEngine(model, tokenizer, EngineConfig(rows=4, prefix_tokens=0)) as engine:
        return [result.tokens for (result,) in engine.generate(list(requests))]


@pytest.fixture(scope="module")
def on_one_device(model_dir, tokenizers):
    """The texts of the first device, in float32, which are the default."""
    model = load_for_inference(model_dir)
    (device,) = {d for x in jax.tree.leaves(model.params) for d in x.devices()}
    assert device == jax.devices()[0] and model.meta["hashes"] == HASHES and model.config == MODEL
    return texts(model, tokenizers["train"])


GATHERED = dataclasses.replace(INFERENCE_RULES, embed=("fsdp", "seq"))  # weights, for each product


@pytest.mark.parametrize(
    "mesh, rules",
    [
        (MeshConfig(data=4, fsdp=1, model=2), INFERENCE_RULES),
        pytest.param(
            *(MeshConfig(data=1, fsdp=1, seq=2, model=4), INFERENCE_RULES), marks=pytest.mark.long
        ),
        pytest.param(
            *(MeshConfig(data=1, fsdp=2, seq=2, model=2), GATHERED), marks=pytest.mark.long
        ),
    ],
)
def test_a_mesh_writes_what_one_device_writes(model_dir, tokenizers, on_one_device, mesh, rules):
    model = load_for_inference(model_dir, make_mesh(mesh), rules)
    wi = model.params["blocks"][0]["mlp"]["wi"]
    rows = 32 // (mesh.fsdp * mesh.seq if rules is GATHERED else 1)
    assert wi.sharding.shard_shape(wi.shape) == (rows, 128 // mesh.model)
    assert texts(model, tokenizers["train"]) == on_one_device


def test_bfloat16(model_dir, tokenizers):
    model = load_for_inference(model_dir, dtype="bfloat16")
    types = {x.dtype.name for x in jax.tree.leaves(model.params) if x.size > MODEL.d_model * 8}
    assert types == {"bfloat16"}
    assert all(tokens for tokens in texts(model, tokenizers["train"]))


def rounded(array, summed):
    """A stacked matrix after a round trip through eight bits, a scale for each output channel."""
    scale = np.abs(array).max(tuple(axis + 1 for axis in summed), keepdims=True) / 127
    return np.round(array / scale) * scale


def test_int8_weights_are_those_of_a_scale_for_each_output_channel(model_dir, tokenizers):
    """The matrices of the blocks alone: embedding, norms and biases are as they were."""
    model = load_for_inference(model_dir, dtype="int8")
    with Checkpointer(model_dir, read_only=True) as checkpointer:
        params, _ = checkpointer.restore_params(abstract_params(MODEL))
    params = jax.tree.map(np.array, params)
    attention, mlp = params["blocks"]["attention"], params["blocks"]["mlp"]
    for part, name, summed in (
        (attention, "q", (0,)),
        (attention, "kv", (0,)),
        (attention, "out", (0, 1)),
        (mlp, "wi", (0,)),
        (mlp, "wo", (0,)),
    ):
        part[name] = rounded(part[name], summed)
    params = jax.tree.map(jnp.asarray, params)
    expected = dataclasses.replace(model, params=prepare_params(params, MODEL, "float32"))
    requests = [ScoreRequest(tuple(range(2, 60))), ScoreRequest("가나다라", "마바사")]
    scores = []
    for each in (model, expected):
        with EmbeddedEngine(each, tokenizers["train"], EngineConfig(rows=2)) as engine:
            scores.append([[t.logprob for t in s.tokens] for s in engine.score(requests)])
    for mine, theirs in zip(*scores):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    bytes_of = lambda model: sum(x.nbytes for x in jax.tree.leaves(model.params["blocks"]))
    assert bytes_of(model) < 0.3 * bytes_of(expected)


@pytest.mark.long
def test_int8_weights_on_a_mesh(model_dir, tokenizers):
    mesh = make_mesh(MeshConfig(data=2, fsdp=1, seq=2, model=2))
    model = load_for_inference(model_dir, mesh, dtype="int8")
    wi = model.params["blocks"][0]["mlp"]["wi"]
    assert wi.values.sharding.shard_shape(wi.shape) == (32, 64)
    assert wi.scale.sharding.shard_shape(wi.scale.shape) == (64,)
    on_one = load_for_inference(model_dir, dtype="int8")
    assert texts(model, tokenizers["train"]) == texts(on_one, tokenizers["train"])


def test_what_cannot_be_loaded_is_named(model_dir, tmp_path):
    with pytest.raises(
        ConfigError, match="attention/kv.* 'kv_heads' of size 4 cannot be sharded 8"
    ):
        load_for_inference(model_dir, make_mesh(MeshConfig(data=1, fsdp=1, model=8)))
    with pytest.raises(ConfigError, match="dtype='float16' is not one of float32, bfloat16, int8"):
        load_for_inference(model_dir, dtype="float16")
    with pytest.raises(CheckpointError, match="has no step 7"):
        load_for_inference(model_dir, step=7)
    with pytest.raises(CheckpointError, match="config.json does not exist"):
        load_for_inference(tmp_path)


@pytest.mark.parametrize("donate", [False, True])
def test_prepared_parameters_are_the_same_numbers(donate):
    params = drawn_params(MODEL)
    expected = jax.tree.map(np.array, params)
    prepared = prepare_params(params, MODEL, donate=donate)
    stacked = jax.tree.map(lambda *layers: jnp.stack(layers), *prepared["blocks"])
    jax.tree.map(np.testing.assert_array_equal, {**prepared, "blocks": stacked}, expected)
    assert all(x.is_deleted() == donate for x in jax.tree.leaves(params["blocks"]))
