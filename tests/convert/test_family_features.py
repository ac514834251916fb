"""What GPT-3's decoder can do, each family's can: imports onto meshes, packed documents, batches of
different lengths over a cache, the formula of its FLOPs, decay on every matrix.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.convert.importing import look_at
from hclx.convert.tensors import rules
from hclx.data.batch import packing
from hclx.infer import SamplingConfig, prepare_params
from hclx.model import hidden_states, param_specs, unembed
from hclx.parallel import make_mesh
from hclx.train.flops import attention_flops_per_token, flops_per_token
from hclx.train.optimizer import decay_mask
from tests.helpers.decoding import sample_rows_of, settings_of
from tests.helpers.families import FAMILIES, make_model, save_model
from tests.helpers.family_logits import FP32, load, logits, random_tokens, their_logits

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def few_families(*quick):
    """All families; those that are not named are run by `make test-long`."""
    marks = lambda name: () if name in quick else pytest.mark.long
    return pytest.mark.parametrize("name", [pytest.param(n, marks=marks(n)) for n in FAMILIES])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """name -> (model of transformers, its folder), made once."""

    @functools.cache
    def make(name):
        path = tmp_path_factory.mktemp("hf")
        return save_model(name, path), path

    return make


MESHES = [
    MeshConfig(fsdp=2, data=2, model=2),
    MeshConfig(fsdp=1, data=2, seq=2, model=2),
    MeshConfig(fsdp=8),
    MeshConfig(fsdp=4, seq=2),
]


@few_families()
def test_an_import_onto_a_mesh_gives_the_logits_of_one_device(name, folder):
    """Each family on one of four meshes; no device holds more than its part of a matrix."""
    _, path = folder(name)
    config = MESHES[list(FAMILIES).index(name) % len(MESHES)]
    if config.model == 2 and load(path)[0].config.n_kv_heads % 2:
        config = MESHES[2]
    tokens = random_tokens((8, 96))
    source, params = load(path)
    expected = logits(params, source.config, tokens)
    with jax.set_mesh(make_mesh(config, jax.devices())):
        source, params = load(path, config)
        ours = logits(params, source.config, tokens)
    np.testing.assert_allclose(ours, expected, atol=2e-5, rtol=0)
    parts = config.fsdp * config.seq * config.model
    for spec, array in zip(jax.tree.leaves(param_specs(source.config)), jax.tree.leaves(params)):
        if spec.decays and "position" not in spec.axes:  # a table that is not split by `model`
            assert array.addressable_shards[0].data.size * parts == array.size


@few_families("gemma3_text")
def test_packed_documents_are_as_if_alone(name, folder):
    model, path = folder(name)
    if "dynamic" in name:
        pytest.skip("the longest document of a row decides: see test_dynamic_positions")
    source, params = load(path)
    end, lengths = 1, (41, 55)
    row = random_tokens((1, sum(lengths)))
    row[0, [0, lengths[0]]] = end
    segments, positions = packing(row, end)
    run = jax.jit(hidden_states, static_argnums=(4, 5))
    ours = unembed(
        params, run(params, row, segments, positions, source.config, FP32), source.config
    )
    for begin, length in ((0, lengths[0]), (lengths[0], lengths[1])):
        part = slice(begin, begin + length)
        theirs = their_logits(model, row[:, part])
        np.testing.assert_allclose(ours[:, part], theirs, atol=1e-4, rtol=0)


@few_families("llama dynamic")
def test_prompts_of_different_lengths_are_continued_in_one_batch(name, folder):
    """By 40 tokens, beyond the window, each as transformers continues it alone."""
    model, path = folder(name)
    source, params = load(path)
    lengths, new = (5, 44, 23), 40
    prompts = random_tokens((3, max(lengths)))
    config = dataclasses.replace(source.config, max_length=256)
    if config.rope_scaling == "dynamic":
        config = dataclasses.replace(config, rope_original_length=source.config.max_length)
    greedy = settings_of(SamplingConfig(temperature=0.0, max_tokens=new), config.vocab_size)
    rows = [prompt[:length].tolist() for prompt, length in zip(prompts, lengths)]
    ready, size = prepare_params(params, config), max(lengths) + new
    ours = sample_rows_of(ready, rows, [greedy] * 3, config, new, size=size)
    for row, length in enumerate(lengths):
        model = make_model(name) if "dynamic" in name else model
        prompt = torch.tensor(prompts[row : row + 1, :length], dtype=torch.long)
        theirs = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )[0, length:]
        np.testing.assert_array_equal(ours[row], theirs.numpy())


def test_dynamic_positions(folder):
    """Without memory here: a text has the logits that a fresh model of transformers gives it, and
    rows that are padded or packed have those of the longest document in the row.
    """
    _, path = folder("llama dynamic")
    source, params = load(path)
    short, long = random_tokens((1, 20)), random_tokens((1, 96))
    for tokens in (short, long, short):
        theirs = their_logits(make_model("llama dynamic"), tokens)
        ours = logits(params, source.config, tokens)
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
    after = make_model("llama dynamic")  # which keeps the frequencies of the longest text
    their_logits(after, long)
    fresh = their_logits(make_model("llama dynamic"), long[:, :60])
    assert np.abs(their_logits(after, long[:, :60]) - fresh).max() > 1e-3
    row = np.concatenate([short, long[:, :60]], axis=1)
    row[0, [0, 20]] = 1
    segments, positions = packing(row, 1)
    packed = unembed(
        params,
        hidden_states(params, row, segments, positions, source.config, FP32),
        source.config,
    )
    alone = logits(params, source.config, row[:, 20:])
    np.testing.assert_allclose(packed[:, 20:], alone, atol=1e-4, rtol=0)
    assert np.abs(packed[:, :20] - logits(params, source.config, row[:, :20])).max() > 1e-3


def test_flops_are_those_of_the_linear_layers_and_of_the_keys_that_are_seen(folder):
    from transformers.pytorch_utils import Conv1D

    length = 96
    for name in FAMILIES:
        model, path = folder(name)
        config = look_at(path).config
        linear = sum(
            module.weight.numel()
            for module in model.modules()
            if isinstance(module, (torch.nn.Linear, Conv1D))
        )
        attention = attention_flops_per_token(config, length)
        assert flops_per_token(config, length) == 6 * linear + attention, name
        # Two products for each query and key, forward, and twice as much backward; the mean over
        # the queries, where half a key of the diagonal is left out, as in t / 2 keys.
        query, key = np.arange(length)[:, None], np.arange(length)
        keys = 0.0
        for window in config.windows:
            window = min(window or length, length)
            is_seen = (key <= query) & (query - key < window)
            keys += (is_seen.sum() - window / 2) / length
        expected = 12 * config.n_heads * config.d_head * keys
        assert attention == pytest.approx(expected, rel=1e-12), name


def test_every_matrix_decays_and_nothing_else(folder):
    for name in FAMILIES:
        model, path = folder(name)
        source = look_at(path)
        mask = {
            jax.tree_util.keystr(key, simple=True, separator="/"): decays
            for key, decays in jax.tree_util.tree_leaves_with_path(decay_mask(source.config))
        }
        for rule in rules(source.config, source.family):
            for ours in rule.ours:
                assert mask[ours] == all(len(shape) == 2 for shape in rule.shapes), (name, ours)
        n_decaying = sum(p.numel() for p in model.parameters() if p.ndim == 2)
        specs = jax.tree.leaves(param_specs(source.config))
        assert sum(int(np.prod(spec.shape)) for spec in specs if spec.decays) == n_decaying
