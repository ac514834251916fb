"""The one table of chips: which chip a device is, and what is compiled and planned for it."""

import pytest

from hclx.errors import ConfigError
from hclx.parallel.chips import CHIPS, find_chip
from hclx.parallel.xla_flags import compiler_options
from hclx.plan.topology import chip_of


@pytest.mark.parametrize(
    "device_kind, name",
    [
        ("TPU v4", "v4"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("cpu", None),
    ],
)
def test_a_device_is_found_by_its_kind(device_kind, name):
    assert find_chip(device_kind) is (CHIPS[name] if name else None)


def test_tpus_overlap_collectives_and_other_devices_have_no_options():
    assert set(compiler_options("TPU v5 lite")) != set(compiler_options("TPU v5p")) != set()
    assert compiler_options("NVIDIA H100 80GB HBM3") == compiler_options("cpu") == {}


def test_no_plan_is_made_from_figures_that_are_missing():
    for chip in CHIPS.values():
        if chip.hbm_capacity:
            assert chip_of(f"{chip.name}:8") is chip and chip.link and chip.network
    with pytest.raises(ConfigError, match="unknown chip 'v4'"):
        chip_of("v4:2x2x1")
