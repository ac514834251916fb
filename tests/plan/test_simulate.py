"""Transfers and timelines against sums done by hand, on a torus of devices that exist on paper."""

import types

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.parallel.chips import CHIPS
from hclx.plan.hlo import parse_hlo
from hclx.plan.interconnect import cost, replica_group
from hclx.plan.simulate import simulate
from hclx.plan.topology import chip_of

V5P = CHIPS["v5p"]
GB = 1e9


def torus(*extents, axes=("data", "fsdp"), shape=None, slices=1):
    """A mesh whose devices have places on a torus."""
    slice_chips = [types.SimpleNamespace(coords=tuple(c)) for c in np.ndindex(*extents)]
    devices = [
        types.SimpleNamespace(coords=d.coords, slice_index=s)
        for s in range(slices)
        for d in slice_chips
    ]
    array = np.empty(len(devices), object)
    array[:] = devices
    return types.SimpleNamespace(devices=array.reshape(shape), axis_names=axes, size=len(devices))


@pytest.mark.parametrize(
    "attributes, group",
    [
        ("replica_groups={{0,4,8},{1,5,9}}", [0, 4, 8]),
        ("replica_groups=[4,2]<=[8], dimensions={0}", [0, 1]),
        ("replica_groups=[2,4]<=[4,2]T(1,0), dimensions={0}", [0, 2, 4, 6]),
        ("replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_1'}, x", [0, 1]),
        (
            "replica_groups=mesh['axis_0'=2,'axis_1'=4], device_ids=([4,2]T(1,0)) {'axis_1'}, x",
            [0, 2, 4, 6],
        ),
        ("source_target_pairs={{0,2},{2,0}}", [0, 2]),
        ("channel_id=7, source_target_pairs={{0,0},{1,2},{6,1},{7,7}}, metadata={}", [6, 1]),
        ("replica_groups={}", [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_groups(attributes, group):
    assert replica_group(attributes, 8) == group


def test_transfers_by_closed_formulas():
    mesh = torus(4, 4, 4, shape=(4, 16))  # data along x, fsdp over y and z
    gather = cost("all-gather", 16 * GB, list(range(16)), mesh, V5P)
    assert gather.axes == ("fsdp",) and gather.links == ("y", "z")
    assert gather.seconds == pytest.approx(16 * GB * 15 / 16 / (4 * 90 * GB))
    reduce = cost("all-reduce", 4 * GB, list(range(0, 64, 16)), mesh, V5P)
    assert reduce.axes == ("data",) and reduce.links == ("x",)
    assert reduce.seconds == pytest.approx(2 * 4 * GB * 3 / 4 / (2 * 90 * GB))
    # two chips are no ring
    line = cost("all-gather", 2 * GB, [0, 1], torus(2, 2, 1, shape=(2, 2)), V5P)
    assert line.seconds == pytest.approx(2 * GB / 2 / (90 * GB))


def test_slices_talk_over_the_network():
    mesh = torus(2, 2, 1, shape=(2, 4), slices=2)
    collective = cost("all-reduce", 4 * GB, list(range(8)), mesh, V5P)
    assert collective.links == ("network",) and collective.seconds == pytest.approx(
        2 * (1 / 2) * (4 * GB / 4) / V5P.network
    )


PROGRAM = """HloModule step

%cond (p: (s32[])) -> pred[] {
  %p = (s32[]) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %n = s32[] constant(3)
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}

%body (q: (s32[])) -> (s32[]) {
  %q = (s32[]) parameter(0)
  %w = bf16[1000000,125]{1,0} custom-call(), custom_call_target="AllocateBuffer"
  %start = (bf16[1000000,125]{1,0}, bf16[1000000,500]{1,0}) all-gather-start(%w), \
replica_groups=[1,4]<=[4], dimensions={1}
  %work = f32[8]{0} add(%w, %w), backend_config={"estimated_cycles":"CYCLES"}
  ROOT %done = bf16[1000000,500]{1,0} all-gather-done(%start)
}

ENTRY %main (a: f32[8]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %t = (s32[]) tuple(%zero)
  %loop = (s32[]) while(%t), condition=%cond, body=%body
  %x = f32[1000000,250]{1,0} broadcast(%a), backend_config={"estimated_cycles":"0"}
  ROOT %sum = f32[1000000,250]{1,0} all-reduce(%x), replica_groups=[1,4]<=[4], to_apply=%add
}
"""


@pytest.mark.parametrize("work", [0.001, 0.050])
def test_a_transfer_beside_the_work_costs_what_the_work_does_not_cover(work):
    """Three turns of a gather of 1 GB beside `work` seconds of computation, then an all-reduce that
    nothing covers.
    """
    mesh = torus(4, 1, 1, axes=("fsdp",), shape=(4,))
    line = simulate(parse_hlo(PROGRAM.replace("CYCLES", str(int(work * V5P.clock)))), mesh, V5P)
    gather, reduce = 1 * GB * 3 / 4 / (2 * 90 * GB), 2 * 1 * GB * 3 / 4 / (2 * 90 * GB)
    assert line.seconds == pytest.approx(3 * max(gather, work) + reduce, rel=1e-6)
    assert line.exposed[("fsdp",)] == pytest.approx(3 * max(0.0, gather - work) + reduce, rel=1e-6)
    assert line.other == pytest.approx(3 * work)
    assert line.traffic == {("all-gather", ("fsdp",)): 3 * GB, ("all-reduce", ("fsdp",)): GB}


def test_a_chip_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="unknown chip 'v9'.*v5p"):
        chip_of("v9:2x2")
