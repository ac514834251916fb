"""The reader of compiled programs: loops, arithmetic and traffic against closed formulas and
against XLA's own count.
"""

import itertools

import jax
import jax.numpy as jnp
import pytest

from hclx.plan.hlo import parse_hlo
from hclx.plan.hlo_cost import hbm_bytes, matmul_flops, valid_taps

CONVOLUTION = """HloModule step

ENTRY %main (a: bf16[2048,80,128], w: bf16[80,128,512]) -> bf16[2048,512,1] {
  %a = bf16[2048,80,128]{2,1,0:T(8,128)(2,1)} parameter(0)
  %w = bf16[80,128,512]{2,1,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %out = bf16[2048,512,1]{1,0,2:T(8,128)(2,1)} convolution(%a, %w), window={size=80}, \
dim_labels=b0f_0io->bf0, backend_config={"window_config":{"estimated_cycles":"1234"}}
}
"""
PADDED = """HloModule step

ENTRY %main (a: bf16[64,32], w: bf16[32,3,16,128]) -> bf16[64,3,16,128] {
  %a = bf16[64,1,1,32]{3,2,1,0} parameter(0)
  %w = bf16[32,3,16,128]{3,2,1,0} parameter(1)
  ROOT %out = bf16[64,3,16,128]{3,2,1,0} convolution(%a, %w), \
window={size=3x16 pad=2_2x15_15 rhs_reversal=1x1}, dim_labels=b01f_i01o->b01f
}
"""


def compiled(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arguments).compile()


def all_flops(module):
    return sum(matmul_flops(module, where, i) * times for where, i, times in module.walk())


def test_loops_count_each_turn():
    def nested(x, w):
        inner = lambda x, _: (x @ w, None)
        outer = lambda x, _: (jax.lax.scan(inner, jnp.sin(x), None, length=5)[0], None)
        return jax.lax.scan(outer, x, None, length=7)[0]

    module = parse_hlo(compiled(nested, (32, 64), (64, 64)).as_text())
    assert all_flops(module) == 7 * 5 * 2 * 32 * 64 * 64


def test_products_agree_with_what_xla_counts():
    program = compiled(
        lambda a, b, c: jnp.einsum("bij,bjk->bik", a, b) @ c, (3, 16, 24), (3, 24, 40), (40, 8)
    )
    assert all_flops(parse_hlo(program.as_text())) == program.cost_analysis()["flops"]


def test_a_product_over_two_axes_that_is_written_as_a_convolution():
    module = parse_hlo(CONVOLUTION)
    out = module.computations["main"]["out"]
    assert matmul_flops(module, "main", out) == 2 * 2048 * 80 * 128 * 512
    assert out.estimated_cycles == 1234
    # The weight lies in fast memory (S(1)), so that only input and output pass through HBM.
    assert hbm_bytes(module, "main", out) == 2 * (2048 * 80 * 128 + 2048 * 512)


def test_padding_is_not_arithmetic():
    module = parse_hlo(PADDED)
    assert (
        matmul_flops(module, "main", module.computations["main"]["out"])
        == 2 * 64 * 32 * 3 * 16 * 128
    )


@pytest.mark.parametrize("rows", ["", "8,"])
def test_an_attention_kernel_counts_its_rows_and_the_blocks_below_the_diagonal(rows):
    text = f"""HloModule step

ENTRY %main (q: bf16[{rows}12,2048,128]) -> bf16[{rows}12,2048,128] {{
  %q = bf16[{rows}12,2048,128]{{2,1,0}} parameter(0)
  ROOT %splash_mha_fwd.1 = (f32[{rows}12,2048]{{1,0}}, \
bf16[{rows}12,2048,128]{{2,1,0}}) custom-call(%q), custom_call_target="tpu_custom_call"
}}
"""
    module = parse_hlo(text)
    whole = 2 * 2 * 12 * 2048**2 * 128 * (8 if rows else 1)
    assert (
        matmul_flops(module, "main", module.computations["main"]["splash_mha_fwd.1"])
        == whole * 5 / 8
    )


@pytest.mark.parametrize(
    "case", list(itertools.product((1, 4), (1, 3), (0, 2), (1, 2), (1, 2), (1, 2)))
)
def test_taps_on_inputs_by_brute_force(case):
    n_in, n_kernel, low, stride, in_step, kernel_step = case
    padded = (
        [None] * low + [v for i in range(n_in) for v in (i, *[None] * (in_step - 1))] + [None] * 20
    )
    outputs = 5
    expected = sum(
        padded[o * stride + k * kernel_step] is not None
        for o in range(outputs)
        for k in range(n_kernel)
    )
    assert valid_taps(n_in, n_kernel, outputs, low, stride, in_step, kernel_step) == expected


def test_a_loop_reads_slices_of_its_stack():
    """Of weights stacked over layers, each turn reads one layer."""
    run = lambda x, stack: jax.lax.scan(lambda x, w: (jnp.tanh(x) * w, None), x, stack)[0]
    module = parse_hlo(compiled(run, (1000,), (50, 1000)).as_text())
    ((where, loop),) = ((where, i) for where, i, _ in module.walk() if i.opcode == "while")
    body = loop.called("body")
    traffic = sum(
        hbm_bytes(module, body, i)
        for i in module.computations[body].values()
        if i.opcode == "fusion"
    )
    assert module.trip_count(where, loop) == 50
    assert 4 * 2 * 1000 <= traffic <= 4 * 6 * 1000  # and not 50,000 numbers


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        parse_hlo("not a program")
