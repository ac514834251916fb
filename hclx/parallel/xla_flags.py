"""XLA options that the training step is compiled with on TPUs: they overlap collectives with the
computation.
"""

from hclx.parallel.chips import find_chip

_FUSED = "xla_tpu_enable_async_collective_fusion_fuse_"
_OFFLOADED = "xla_tpu_enable_sparse_core_collective_offload_"

# Chips with SparseCores run the collectives there, and the matrix units never wait to start one.
_SPARSE_CORE = {
    f"{_OFFLOADED}all_gather": True,
    f"{_OFFLOADED}2d_all_gather": True,
    f"{_OFFLOADED}reduce_scatter": True,
    f"{_OFFLOADED}all_reduce": True,
    f"{_FUSED}all_gather": False,
    f"{_FUSED}reduce_scatter": False,
    f"{_FUSED}all_reduce": False,
    "xla_sc_disable_megacore_partitioning": True,
    "xla_tpu_use_tc_device_shape_on_sc": True,
    "xla_sc_enable_instruction_fusion": False,
}
# On the others, parts of a transfer are fused into the computation that overlaps with it.
_FUSION = {
    "xla_tpu_enable_async_collective_fusion": True,
    f"{_FUSED}all_gather": True,
    "xla_tpu_enable_async_collective_fusion_multiple_steps": True,
    "xla_tpu_overlap_compute_collective_tc": True,
    "xla_enable_async_all_gather": True,
}
# A product with a gathered factor stays one product: as a ring of permutes ("windowed einsum") it
# is slower and needs more memory.
_WHOLE_PRODUCTS = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}
_OPTIONS = {
    "v5e": _FUSION | _WHOLE_PRODUCTS,
    "v5p": _SPARSE_CORE | _WHOLE_PRODUCTS,
    "v6e": _SPARSE_CORE | _WHOLE_PRODUCTS,
}


def compiler_options(device_kind: str) -> dict[str, bool | int]:
    """Returns XLA's options, name -> value, for a `jax.Device.device_kind` that names a TPU v5e,
    v5p or v6e; {} for any other device.
    """
    chip = find_chip(device_kind)
    return dict(_OPTIONS.get(chip.name, {})) if chip else {}
