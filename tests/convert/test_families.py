"""Every family against transformers: logits, continuations over a cache, gradients, meshes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, MeshConfig
from hclx.convert.config_json import read_model_config
from hclx.convert.tensors import rules
from hclx.data.batch import make_batch
from hclx.infer import SamplingConfig, prepare_params
from hclx.parallel import make_mesh
from hclx.train import make_loss
from tests.helpers.decoding import sample_rows_of, settings_of
from tests.helpers.families import FAMILIES, make_model, save_model
from tests.helpers.family_logits import LENGTH, flat, load, logits, random_tokens, their_logits

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
PROMPT, NEW = 40, 64
EVERY_FAMILY = pytest.mark.parametrize("name", FAMILIES)
# Of tests that take seconds for each family, all others are run by `make test-long`.
QUICK = ("gptj", "exaone4 hybrid")
FEW_FAMILIES = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in FAMILIES]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """name -> (model of transformers, its folder), made once."""

    @functools.cache
    def make(name):
        path = tmp_path_factory.mktemp("hf")
        return save_model(name, path), path

    def get(name):
        model, path = make(name)
        # "dynamic" frequencies remember the longest text so far.
        return make_model(name) if "dynamic" in name else model, path

    return get


@EVERY_FAMILY
def test_logits_are_those_of_transformers(name, folder):
    model, path = folder(name)
    source, params = load(path)
    tokens = random_tokens()
    theirs = their_logits(model, tokens)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(logits(params, source.config, tokens), theirs, atol=1e-4, rtol=0)


@FEW_FAMILIES
def test_greedy_continuations_are_those_of_transformers(name, folder):
    model, path = folder(name)
    source, params = load(path)
    tokens = random_tokens((1, PROMPT))
    theirs = model.generate(
        torch.tensor(tokens, dtype=torch.long),
        attention_mask=torch.ones(tokens.shape, dtype=torch.long),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )[0, PROMPT:].numpy()
    config = dataclasses.replace(source.config, max_length=256)
    if source.config.rope_scaling == "dynamic":
        config = dataclasses.replace(config, rope_original_length=source.config.max_length)
    ready = prepare_params(params, config)
    greedy = settings_of(SamplingConfig(temperature=0.0, max_tokens=NEW), config.vocab_size)
    ours = sample_rows_of(ready, tokens, [greedy], config, NEW, size=PROMPT + NEW)
    np.testing.assert_array_equal(ours[0], theirs)


def gradients(path, mesh, tokens):
    source, params = load(path, mesh)
    batch = make_batch(tokens, eod_id=source.config.vocab_size)
    loss = make_loss(source.config, ComputeConfig(dtype="float32", attention="xla"))
    mean = lambda params: (lambda total, count: total / count)(*loss(params, batch))
    with jax.set_mesh(make_mesh(mesh, jax.devices()[: np.prod(mesh.shape)])):
        return source, *jax.device_get(jax.jit(jax.value_and_grad(mean))(params))


@FEW_FAMILIES
def test_gradients_are_those_of_pytorch(name, folder):
    model, path = folder(name)
    tokens = random_tokens((2, LENGTH + 1))
    source, loss, ours = gradients(path, MeshConfig(fsdp=1), tokens)
    model.zero_grad()
    inputs = torch.tensor(tokens, dtype=torch.long)
    out = model(inputs[:, :-1]).logits
    theirs = torch.nn.functional.cross_entropy(out.flatten(0, 1), inputs[:, 1:].flatten())
    theirs.backward()
    assert float(theirs.detach()) == pytest.approx(float(loss), rel=1e-5)
    from transformers.core_model_loading import revert_weight_conversion

    grads = {key: parameter.grad for key, parameter in model.named_parameters()}
    if name == "exaone":  # names in memory are not those in the file
        grads = revert_weight_conversion(model, grads)
    grads = {key: grad.numpy() for key, grad in grads.items()}
    if "lm_head.weight" in grads and name.startswith("gpt_neox"):
        grads["embed_out.weight"] = grads["lm_head.weight"]
    ours = flat(ours)
    for rule in rules(source.config, source.family):
        for layer in range(source.config.n_layers) if "{n}" in rule.theirs[0] else [None]:
            expected = [grads[key.format(n=layer)] for key in rule.theirs]
            packed = rule.pack(*expected)
            for ours_name, value in zip(rule.ours, packed):
                if source.family == "gemma3_text" and ours_name.endswith("scale"):
                    value = value - 1  # the derivative of 1 + w
                mine = ours[ours_name] if layer is None else ours[ours_name][layer]
                scale = np.abs(value).max()
                np.testing.assert_allclose(mine, value, rtol=0, atol=1e-4 * scale)


MESHES = {
    "fsdp": MeshConfig(fsdp=8),
    "model and seq": MeshConfig(fsdp=1, data=2, seq=2, model=2),
    "fsdp and model": MeshConfig(fsdp=4, model=2),
}


@pytest.mark.parametrize(
    ("name", "mesh"),
    [
        pytest.param(
            *(name, mesh),
            marks=() if (name, mesh) == ("gptj", "model and seq") else pytest.mark.long,
        )
        for name in ("llama", "gptj", "exaone4 hybrid", "gemma3_text")
        for mesh in MESHES
    ],
)
def test_meshes_agree_with_one_device(name, mesh, folder):
    _, path = folder(name)
    tokens = random_tokens((8, 65))
    _, loss, expected = gradients(path, MeshConfig(fsdp=1), tokens)
    _, sharded_loss, ours = gradients(path, MESHES[mesh], tokens)
    assert float(sharded_loss) == pytest.approx(float(loss), rel=1e-5)
    for key, value in flat(expected).items():
        atol = 1e-5 * max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(flat(ours)[key], value, rtol=1e-4, atol=atol, err_msg=key)


def test_the_tiny_models_have_what_their_families_can_have():
    """Shared heads of keys and values, heads of another size, windows and stretched positions."""
    features = {}
    for name, (family, fields) in FAMILIES.items():
        config = read_model_config({"model_type": family, **fields})[1]
        features.setdefault(family, set()).update(
            feature
            for feature, is_there in {
                "shared heads": config.n_kv_heads < config.n_heads,
                "head size": config.d_head * config.n_heads != config.d_model,
                "stretched": config.rope_scaling != "none",
                "windows": any(config.windows),
                "both kinds": len(set(config.windows)) == 2,
            }.items()
            if is_there
        )
        assert config.rope_original_length < LENGTH and max(config.windows) < LENGTH, name
    usual = {"shared heads", "head size", "stretched"}
    windows = usual | {"windows", "both kinds"}
    assert features == {
        **{"gpt2": set(), "gptj": set(), "gpt_neox": {"stretched"}},
        **dict.fromkeys(("llama", "exaone", "hyperclovax"), usual),
        **dict.fromkeys(("qwen2", "qwen3", "exaone4", "gemma3_text"), windows),
    }


def swap(a, b):
    def fault(params, config):
        blocks = dict(params["blocks"])
        (*of_a, last), (*_, last_b) = a.split("/"), b.split("/")
        group = blocks[of_a[0]] if of_a else blocks
        group = {**group, last: group[last_b], last_b: group[last]}
        return {**params, "blocks": {**blocks, of_a[0]: group} if of_a else group}, config

    return fault


def without_biases(params, config):
    zero = lambda path, x: x * 0 if "bias" in jax.tree_util.keystr(path) else x
    return jax.tree_util.tree_map_with_path(zero, params), config


def without_head_bias(params, config):
    return {**params, "head": {**params["head"], "bias": params["head"]["bias"] * 0}}, config


def change(**fields):
    return lambda params, config: (params, dataclasses.replace(config, **fields))


def queries_of_other_heads(params, config):
    """The fused projection read as (3, h, k) and not as (h, 3, k)."""
    attention = params["blocks"]["attention"]
    qkv = jnp.concatenate([attention["q"][:, :, None], attention["kv"]], axis=2)
    layers, d, _, h, k = qkv.shape
    qkv = qkv.swapaxes(2, 3).reshape(layers, d, 3, h, k)
    attention = {**attention, "q": qkv[:, :, 0], "kv": qkv[:, :, 1:]}
    return {**params, "blocks": {**params["blocks"], "attention": attention}}, config


def keys_of_other_groups(params, config):
    """Query heads that share keys by turns, and not group by group."""
    attention = params["blocks"]["attention"]
    q, out = attention["q"], attention["out"]
    groups = config.n_kv_heads
    order = np.arange(config.n_heads).reshape(groups, -1).T.ravel()
    attention = {**attention, "q": q[:, :, order], "out": out[:, order]}
    return {**params, "blocks": {**params["blocks"], "attention": attention}}, config


def norms_before(params, config):
    """Norms after the sub-layers taken for norms before them."""
    blocks = dict(params["blocks"])
    for part in ("attention", "mlp"):
        blocks[f"{part}_norm"] = blocks.pop(f"{part}_out_norm")
    return {**params, "blocks": blocks}, dataclasses.replace(config, norm_placement="pre")


def norms_less_one(params, config):
    """The factor of a norm taken as the tensor has it, without the one that is added."""
    less = lambda path, x: x - 1 if jax.tree_util.keystr(path).endswith("['scale']") else x
    return jax.tree_util.tree_map_with_path(less, params), config


def keys_permuted_as_interleaved(params, config):
    """The permutation of queries and keys for the other layout, applied to keys alone."""
    attention = params["blocks"]["attention"]
    size = config.d_head
    order = np.concatenate([np.arange(0, size, 2), np.arange(1, size, 2)])
    kv = attention["kv"].at[:, :, 0].set(attention["kv"][:, :, 0][..., order])
    return {**params, "blocks": {**params["blocks"], "attention": {**attention, "kv": kv}}}, config


FAULTS = {
    "norms of a block swapped": ("llama", swap("attention_norm", "mlp_norm")),
    "norms of a block swapped, gpt2": ("gpt2", swap("attention_norm", "mlp_norm")),
    "biases lost, gpt2": ("gpt2", without_biases),
    "biases lost, qwen2": ("qwen2", without_biases),
    "biases lost, gpt_neox": ("gpt_neox", without_biases),
    "bias of the head lost": ("gptj", without_head_bias),
    "norms before and after the MLP swapped": ("gemma3_text", swap("mlp_norm", "mlp_out_norm")),
    "query and key norms swapped": ("exaone4", swap("attention/query_norm", "attention/key_norm")),
    "pairs interleaved": ("llama", change(rotary_interleaved=True)),
    "pairs not interleaved": ("gptj", change(rotary_interleaved=False)),
    "another theta": ("llama", change(rotary_theta=1e4)),
    "frequencies doubled": ("llama", change(rope_scaling="linear", rope_factor=0.5)),
    "not stretched": ("exaone", change(rope_scaling="none")),
    "attention multiplier ignored": ("hyperclovax", change(attention_multiplier=0.0)),
    "logits multiplier ignored": ("hyperclovax", change(logits_multiplier=1.0)),
    "residual multiplier ignored": ("hyperclovax", change(residual_multiplier=1.0)),
    "embedding multiplier ignored": ("hyperclovax", change(embedding_multiplier=1.0)),
    "positions in full layers": ("exaone4 hybrid", change(rotary_in_full_layers=True)),
    "windows ignored": ("exaone4 hybrid", change(window=128)),
    "window of one less": ("qwen2 windows", change(window=15)),
    "fused projection in another order": ("gpt_neox", queries_of_other_heads),
    "other form of GELU": ("gpt_neox", change(activation="gelu_tanh")),
    "other form of GELU, gpt2": ("gpt2", change(activation="gelu")),
    "residual not parallel": ("gpt_neox", change(residual="sequential")),
    "residual parallel": ("gpt_neox sequential", change(residual="parallel")),
    "all of a head rotated": ("gpt_neox", change(rotary_size=12)),
    "all of a head rotated, gptj": ("gptj", change(rotary_size=12)),
    "keys of other groups": ("exaone", keys_of_other_groups),
    "keys permuted": ("llama", keys_permuted_as_interleaved),
    "norms after as norms before": ("exaone4", norms_before),
    "query and key norms swapped, qwen3": (
        "qwen3",
        swap("attention/query_norm", "attention/key_norm"),
    ),
    "norms without their one": ("gemma3_text", norms_less_one),
    "embedding not scaled": ("gemma3_text", change(embedding_multiplier=1.0)),
    "scores scaled by the size of a head": ("gemma3_text", change(attention_multiplier=0.0)),
    "one base for all layers": ("gemma3_text", change(window_rotary_theta=1e6)),
    "base of all layers the local one": ("gemma3_text", change(rotary_theta=1e4)),
    "windows ignored, gemma": ("gemma3_text", change(window=128)),
    "amplitude of yarn ignored": ("llama yarn", change(rope_attention_factor=1.0)),
    "bounds of yarn not rounded": ("llama yarn", change(rope_truncate=False)),
    "original length ignored": ("llama llama3", change(rope_original_length=0)),
    "not stretched with the length": ("llama dynamic", change(rope_scaling="none")),
    "biases lost, llama": ("llama biases", without_biases),
    "gate and input swapped": ("llama", swap("mlp/gate", "mlp/wi")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen_in_the_logits(fault, folder):
    name, plant = FAULTS[fault]
    model, path = folder(name)
    source, params = load(path)
    tokens = random_tokens((1, LENGTH))
    wrong = logits(*plant(params, source.config), tokens)
    difference = np.abs(wrong - their_logits(model, tokens)).max()
    assert difference > 2e-4  # twice the tolerance
