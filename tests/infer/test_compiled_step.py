"""The compiled decode loop: one program for all settings, a cache that is written in place, and
weights that are read as they are.
"""

import collections
import functools
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import MeshConfig, ModelConfig
from hclx.infer import INFERENCE_RULES, SamplingConfig, prepare_params
from hclx.infer.decode import decode
from hclx.model import init_params
from hclx.parallel import make_mesh, sharding_rules
from tests.conftest import HAS_FUSION_EMITTERS_FLAG
from tests.helpers.decoding import begin, read, settings_of, step_arguments

CONFIG = ModelConfig(vocab_size=640, n_layers=2, d_model=128, n_heads=2, max_length=64)
ROWS, CACHE_SIZE = 3, 48
CACHE = f"[{ROWS},2,{CACHE_SIZE},64]"


def arguments(dtype, *settings):
    """Parameters, state and the other arguments of a decode call for a batch of prompts."""
    params = prepare_params(init_params(CONFIG, jax.random.key(0)), CONFIG, dtype)
    state, logits = read(params, [[1] * n for n in (3, 9, 4)], CONFIG, CACHE_SIZE)
    state, _ = begin(state, logits, [settings_of(row, CONFIG.vocab_size) for row in settings])
    return params, state, *step_arguments(state, 8)


DECODE = functools.partial(decode, config=CONFIG)


@functools.cache
def lowered(dtype):
    return decode.lower(*arguments(dtype, *[SamplingConfig()] * ROWS), config=CONFIG)


@functools.cache
def compiled():
    """The program for this machine, as commands compile it: tests have another option."""
    options = {"xla_cpu_use_fusion_emitters": True} if HAS_FUSION_EMITTERS_FLAG else {}
    return lowered("float32").compile(compiler_options=options)


@functools.cache
def compiled_for_tpu(dtype):
    """The program that a TPU would run, by its compiler, which needs none."""
    from hclx.plan.compile import topology_devices

    mesh = make_mesh(MeshConfig(fsdp=1), topology_devices("v5e:2x2")[:1])
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
    shapes = jax.tree.map(place, arguments(dtype, *[SamplingConfig()] * ROWS))
    with jax.set_mesh(mesh), sharding_rules(INFERENCE_RULES):
        return decode.lower(*shapes, config=CONFIG).compile().as_text()


def operations(hlo, shape):
    """Counts the operations of an HLO text whose result has a shape, whatever the dtype."""
    pattern = rf"= \w+{re.escape(shape)}\S* ([\w-]+)\("
    return collections.Counter(re.findall(pattern, hlo))


def matrix_shapes(params):
    """Shapes, as HLO writes them, of the matrices of a block and of the embedding."""
    leaves = jax.tree.leaves((params["blocks"], params["embedding"]["token"]))
    return {str(list(x.shape)).replace(" ", "") for x in leaves if x.size >= 128 * 128}


def test_five_settings_compile_once():
    settings = [[SamplingConfig(seed=seed)] * ROWS for seed in (0, 1)] + [
        [SamplingConfig(temperature=0.0)] * ROWS,
        [SamplingConfig(top_k=5, top_p=0.9, max_tokens=2)] * ROWS,
        [SamplingConfig(temperature=1.3, repetition_penalty=1.2), *[SamplingConfig(seed=7)] * 2],
        [SamplingConfig(min_p=0.1, frequency_penalty=1.0), *[SamplingConfig(min_tokens=4)] * 2],
    ]
    before = decode._cache_size()
    for rows in settings:
        DECODE(*arguments("float32", *rows))
    assert decode._cache_size() - before == 1


def test_the_cache_is_written_in_place():
    program = compiled()
    counts = operations(program.as_text(), CACHE)
    assert counts["scatter"] == 2 * CONFIG.n_layers
    assert set(counts) <= {"parameter", "get-tuple-element", "scatter", "fusion", "bitcast"}
    cache_bytes = 2 * CONFIG.n_layers * ROWS * 2 * CACHE_SIZE * 64 * 4
    memory = program.memory_analysis()
    assert memory.alias_size_in_bytes >= cache_bytes and memory.temp_size_in_bytes < cache_bytes


def test_the_cache_of_one_row_alone_is_copied_before_and_after_the_loop_only():
    options = {"xla_cpu_use_fusion_emitters": True} if HAS_FUSION_EMITTERS_FLAG else {}
    for_one = *arguments("float32", *[SamplingConfig()] * ROWS), np.array([1], np.int32)
    hlo = decode.lower(*for_one, config=CONFIG).compile(compiler_options=options).as_text()
    loop = hlo[: hlo.index("\nENTRY ")]
    of_a_row = CACHE.replace(f"[{ROWS},", "[")
    assert operations(loop, of_a_row)["dynamic-update-slice"] == 2 * CONFIG.n_layers
    for shape in (of_a_row, CACHE.replace(f"[{ROWS},", "[1,")):
        assert not operations(loop, shape)["copy"]


def test_weights_are_read_where_they_are():
    """As slices of stacked arrays, each would be copied before a product reads it."""
    hlo = compiled().as_text()
    for shape in matrix_shapes(arguments("float32", SamplingConfig())[0]):
        counts = operations(hlo, shape)
        assert counts and set(counts) <= {"parameter", "get-tuple-element", "bitcast"}, shape


def test_bfloat16_weights_are_not_converted():
    """CPUs have no bfloat16 products, so that XLA converts what they read: the program before its
    passes counts here, and the one for a TPU.
    """
    params, state, *_ = arguments("bfloat16", *[SamplingConfig()] * ROWS)
    assert state.cache.k[0].dtype == params["blocks"][0]["mlp"]["wi"].dtype == jnp.bfloat16
    assert params["final_norm"]["scale"].dtype == jnp.float32
    sizes = [
        np.prod([int(n) for n in shape.split("x")[:-1]])
        for shape in re.findall(
            r"stablehlo.convert .*: \(tensor<([^>]*)>\)", lowered("bfloat16").as_text()
        )
    ]
    assert sizes and max(sizes) < 128 * 128


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="it is XLA's compiler for TPUs that is asked"
)
def test_a_tpu_neither_converts_weights_nor_copies_the_cache_in_the_loop():
    hlo = compiled_for_tpu("bfloat16")
    shapes = matrix_shapes(arguments("bfloat16", SamplingConfig())[0])
    assert sum(operations(hlo, shape)["parameter"] for shape in shapes) >= 4 * CONFIG.n_layers
    assert not any(operations(hlo, shape)["convert"] for shape in shapes)
    loop = hlo[: hlo.index("\nENTRY ")]  # before and after the loop its layout is changed, once
    counts = operations(loop, CACHE)
    assert counts["scatter"] == 2 * CONFIG.n_layers and not counts["copy"]
