"""Options that the training step is compiled with on TPUs: collectives go on beside the
computation.
"""

_FUSED = "xla_tpu_enable_async_collective_fusion_fuse_"
_OFFLOADED = "xla_tpu_enable_sparse_core_collective_offload_"

# Chips with SparseCores: these run the collectives, and the matrix units never wait to start one.
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
# The others: pieces of a transfer are fused into the computation beside it.
_FUSION = {
    "xla_tpu_enable_async_collective_fusion": True,
    f"{_FUSED}all_gather": True,
    "xla_tpu_enable_async_collective_fusion_multiple_steps": True,
    "xla_tpu_overlap_compute_collective_tc": True,
    "xla_enable_async_all_gather": True,
}
# A product with a gathered factor stays one product: cut into a ring of permutes, it is slower and
# holds more.
_WHOLE_PRODUCTS = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}
_OPTIONS = {
    "v5e": _FUSION | _WHOLE_PRODUCTS,
    "v5p": _SPARSE_CORE | _WHOLE_PRODUCTS,
    "v6e": _SPARSE_CORE | _WHOLE_PRODUCTS,
}
_KINDS = {
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
}


def compiler_options(chip: str) -> dict[str, bool | int]:
    """XLA's options for a chip, by its name ("v5p") or by what JAX calls its kind ("TPU v5"); none
    for any other device.
    """
    return dict(_OPTIONS.get(_KINDS.get(chip, chip), {}))
