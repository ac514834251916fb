"""A plan as a page for people and as JSON for programs, whether it was compiled or estimated."""

import math

from hclx.config import MESH_AXES, TrainConfig
from hclx.model import n_params
from hclx.plan.analytic import Estimate
from hclx.plan.compiled_plan import Plan
from hclx.plan.topology import HBM_SHARE, KERNEL_EFFICIENCY
from hclx.progress import counted
from hclx.train.flops import FORMULA

SECONDS_PER_DAY = 86_400


def run_tokens(train: TrainConfig, tokens: float) -> float:
    """Returns `tokens` if it is finite and positive; else the tokens of the whole run: steps ·
    batch size · sequence length.
    """
    if math.isfinite(tokens) and tokens > 0:
        return tokens
    return float(train.total_steps * train.global_batch_size * train.sequence_length)


def to_json(plan: Plan | Estimate, topology: str, tokens: float) -> dict:
    """Returns the plan as plain numbers. Gigabytes are 1e9 bytes, times are seconds.

    Args:
      plan: of a step, compiled or estimated.
      topology: its name, such as "v5p:8x16x16".
      tokens: of the run whose days are counted, see `run_tokens`.
    Returns:
      Of every plan: method ("compiled" or "arithmetic"), topology, chips, mesh (axis -> size),
      parameters, global_batch_size, sequence_length, accumulation_steps, remat, fits,
      hbm_gb_per_chip (the peak), hbm_capacity_gb, estimated_mfu (from 0 to 1), step_time_s,
      tokens_per_second (of all chips), days (of the run), days_for_tokens (`tokens` as given),
      limits (see `Plan.limits`). Of an estimate also its `bytes` and `seconds`. Of a compiled plan
      also hbm_arguments_gb, hbm_temporaries_gb, losses_s (see `Plan.losses`), flops_per_chip,
      model_flops_per_chip, hbm_traffic_gb_per_chip, and collective_gb_per_chip ("KIND over AXES" ->
      gigabytes).
    """
    train = plan.experiment.train
    return {
        "method": "compiled" if isinstance(plan, Plan) else "arithmetic",
        "topology": topology,
        "chips": plan.chips,
        "mesh": dict(zip(MESH_AXES, plan.experiment.mesh.shape)),
        "parameters": n_params(plan.experiment.model),
        "global_batch_size": train.global_batch_size,
        "sequence_length": train.sequence_length,
        "accumulation_steps": train.accumulation_steps,
        "remat": plan.experiment.compute.remat,
        "fits": plan.fits,
        "hbm_gb_per_chip": plan.peak_bytes / 1e9,
        "hbm_capacity_gb": plan.chip.hbm_capacity / 1e9,
        "estimated_mfu": plan.mfu,
        "step_time_s": plan.step_time,
        "tokens_per_second": plan.tokens / plan.step_time,
        "days": _days(plan, tokens),
        "days_for_tokens": tokens,
        "limits": plan.limits,
        **(
            _compiled_figures(plan)
            if isinstance(plan, Plan)
            else {"bytes": plan.bytes, "seconds": plan.seconds}
        ),
    }


def _days(plan: Plan | Estimate, tokens: float) -> float:
    return tokens / plan.tokens * plan.step_time / SECONDS_PER_DAY


def _compiled_figures(plan: Plan) -> dict:
    step, timeline = plan.step, plan.timeline
    return {
        "hbm_arguments_gb": step.argument_bytes / 1e9,
        "hbm_temporaries_gb": step.temporary_bytes / 1e9,
        "losses_s": plan.losses,
        "flops_per_chip": timeline.flops,
        "model_flops_per_chip": plan.model_flops,
        "hbm_traffic_gb_per_chip": timeline.hbm / 1e9,
        "collective_gb_per_chip": {
            f"{kind} over {' x '.join(axes)}": n_bytes / 1e9
            for (kind, axes), n_bytes in timeline.traffic.items()
        },
    }


def to_page(plan: Plan | Estimate, topology: str, tokens: float) -> str:
    """Returns the plan as one page of text, without a line end; for the arguments see `to_json`."""
    experiment, train = plan.experiment, plan.experiment.train
    mesh = " x ".join(f"{a} {n}" for a, n in zip(MESH_AXES, experiment.mesh.shape) if n > 1)
    body = _compiled_body(plan) if isinstance(plan, Plan) else _estimated_body(plan)
    return "\n".join(
        [
            f"{n_params(plan.experiment.model):,} parameters on {plan.chips:,} x"
            f" {plan.chip.name} ({topology})",
            f"mesh {mesh or 'of one device'} · batch {train.global_batch_size:,} x"
            f" {train.sequence_length:,} in"
            f" {counted(train.accumulation_steps, 'accumulation step')}"
            f" · remat {experiment.compute.remat}{_pipeline(plan)}",
            *body,
            "",
            f"  {plan.tokens / plan.step_time:,.0f} tokens a second · MFU {100 * plan.mfu:.1f}% ·"
            f" {_days(plan, tokens):,.1f} days for {tokens:.3g} tokens · limited by: {plan.limits}",
            f"  MFU = {FORMULA}",
            f"  assumed of {plan.chip.peak_bf16 / 1e12:.0f} TFLOP/s: the attention kernel reaches"
            f" {100 * KERNEL_EFFICIENCY:.0f}%{_products(plan)}",
        ]
    )


def _pipeline(plan: Plan | Estimate) -> str:
    pipe = plan.experiment.mesh.pipe
    return f" · {plan.experiment.compute.microbatches(pipe)} microbatches" if pipe > 1 else ""


def _products(plan: Plan | Estimate) -> str:
    if isinstance(plan, Plan):
        return ""  # the compiler's own estimate
    return f", matrix products {100 * plan.chip.matmul_efficiency:.0f}%"


def _row(name: str, value: str, note: str = "") -> str:
    return f"  {name:<41} {value:>14}   {note}".rstrip()


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.2f} GB"


def _seconds(seconds: float) -> str:
    return f"{seconds:.4f} s"


def _share(plan: Plan | Estimate, name: str, seconds: float) -> str:
    return _row(name, _seconds(seconds), f"{100 * seconds / plan.step_time:5.1f}%")


def _peak(plan: Plan | Estimate) -> str:
    capacity = plan.chip.hbm_capacity
    return _row(
        "peak",
        _gb(plan.peak_bytes),
        f"of {_gb(capacity)}: {100 * plan.peak_bytes / capacity:.1f}%,"
        f" {'fits' if plan.fits else 'DOES NOT FIT'} ({100 * HBM_SHARE:.0f}% may be used)",
    )


def _estimated_body(plan: Estimate) -> list[str]:
    return [
        "BY ARITHMETIC: no compiler for these chips was used, and nothing was run on them.",
        "",
        "Memory of a chip",
        *(_row(name, _gb(n_bytes)) for name, n_bytes in plan.bytes.items()),
        _peak(plan),
        "",
        "Estimate",
        *(_share(plan, name, seconds) for name, seconds in plan.seconds.items() if seconds),
        _share(plan, "step", plan.step_time),
    ]


def _compiled_body(plan: Plan) -> list[str]:
    step, timeline, peak = plan.step, plan.timeline, plan.chip.peak_bf16
    state = f"parameters and moments are {_gb(step.state_bytes)} of it"
    ratio = f"FLOPs in matrix products, {timeline.flops / plan.model_flops:.3f} of the model's own"
    return [
        "",
        "Memory of a chip, as compiled",
        _row("arguments", _gb(step.argument_bytes), state),
        _row("temporaries", _gb(step.temporary_bytes)),
        _peak(plan),
        "",
        "Work of a chip in a step",
        _row("operations", f"{timeline.flops:.3e}", ratio),
        _row("HBM", _gb(timeline.hbm), "read and written"),
        *(
            _row(f"{kind} over {' x '.join(axes)}", _gb(n_bytes))
            for (kind, axes), n_bytes in timeline.traffic.most_common()
        ),
        "",
        *_roofline(plan),
        "",
        "Estimate: the compiled schedule on a timeline",
        _share(plan, "the model's FLOPs at peak", plan.model_flops / peak),
        *(_share(plan, name, seconds) for name, seconds in plan.losses.items()),
        _share(plan, "step", plan.step_time),
    ]


def _roofline(plan: Plan) -> list[str]:
    """Rows with the time of each resource if it alone were used, at the published rates."""
    chip, timeline = plan.chip, plan.timeline
    compute = timeline.flops / chip.peak_bf16
    memory = timeline.hbm / chip.hbm_bandwidth
    links = sorted(timeline.busy.items())
    slowest = max((seconds for _, seconds in links), default=0.0)
    return [
        "Roofline: the time of each resource alone, at the published rates",
        _row("compute", _seconds(compute), f"at {chip.peak_bf16 / 1e12:.0f} TFLOP/s"),
        _row("HBM", _seconds(memory), f"at {chip.hbm_bandwidth / 1e9:,.0f} GB/s"),
        *(_row(f"link {name}", _seconds(seconds)) for name, seconds in links),
        _row("all at the same time", _seconds(max(compute, memory, slowest))),
        _row("one after the other", _seconds(compute + memory + slowest)),
    ]
