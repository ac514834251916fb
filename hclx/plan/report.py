"""One plan as a page for people and as JSON for programs."""

import dataclasses
import math

from hclx.config import TrainConfig
from hclx.model import n_params
from hclx.plan.chips import HBM_SHARE, KERNEL_EFFICIENCY
from hclx.plan.compile import CompiledStep
from hclx.plan.simulate import Timeline, simulate
from hclx.train.flops import FORMULA, flops_per_token

SECONDS_A_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training step would need and take on one chip. Seconds, bytes and FLOPs of one step of
    one chip.
    """

    step: CompiledStep
    line: Timeline
    model_flops: float  # of the model alone: see `FORMULA`

    @property
    def fits(self) -> bool:
        return self.step.peak_bytes <= HBM_SHARE * self.step.chip.hbm_capacity

    @property
    def mfu(self) -> float:
        return self.model_flops / (self.line.seconds * self.step.chip.peak_bf16)

    @property
    def tokens(self) -> int:
        """Tokens a step, all chips together."""
        train = self.step.experiment.train
        return train.global_batch_size * train.sequence_length

    @property
    def losses(self) -> dict[str, float]:
        """Seconds of the step by what they are lost to; with the model's own arithmetic at peak
        they are the whole step.
        """
        line, peak = self.line, self.step.chip.peak_bf16
        return {
            "products computed again, or masked": (line.flops - self.model_flops) / peak,
            "matrix units not full": line.matmul + line.attention - line.flops / peak,
            "norms, activations, copies, optimizer": line.other,
            **{
                f"waiting for transfers over {' x '.join(axes)}": s
                for axes, s in line.exposed.most_common()
            },
        }

    @property
    def limits(self) -> str:
        """What keeps the step from the peak most of all, or that it does not fit."""
        if not self.fits:
            return "HBM"
        return max(self.losses, key=self.losses.get)


def make_plan(step: CompiledStep) -> Plan:
    """Puts a compiled step on its timeline."""
    train = step.experiment.train
    tokens = train.global_batch_size * train.sequence_length
    flops = flops_per_token(step.experiment.model, train.sequence_length) * tokens / step.mesh.size
    return Plan(step, simulate(step.module, step.mesh, step.chip), flops)


def to_json(plan: Plan, tokens: float) -> dict:
    """The plan as plain numbers: gigabytes are 1e9 bytes, times are seconds."""
    step, line, chip = plan.step, plan.line, plan.step.chip
    return {
        "method": "compiled",
        "topology": step.topology,
        "chips": step.mesh.size,
        "mesh": {axis: int(n) for axis, n in step.mesh.shape.items()},
        "parameters": n_params(step.experiment.model),
        "global_batch_size": step.experiment.train.global_batch_size,
        "sequence_length": step.experiment.train.sequence_length,
        "accumulation_steps": step.experiment.train.accumulation_steps,
        "remat": step.experiment.compute.remat,
        "fits": plan.fits,
        "hbm_gb_per_chip": step.peak_bytes / 1e9,
        "hbm_arguments_gb": step.argument_bytes / 1e9,
        "hbm_temporaries_gb": step.temporary_bytes / 1e9,
        "hbm_capacity_gb": chip.hbm_capacity / 1e9,
        "estimated_mfu": plan.mfu,
        "step_time_s": line.seconds,
        "tokens_per_second": plan.tokens / line.seconds,
        "days": tokens / plan.tokens * line.seconds / SECONDS_A_DAY,
        "days_for_tokens": tokens,
        "limits": plan.limits,
        "losses_s": plan.losses,
        "flops_per_chip": line.flops,
        "model_flops_per_chip": plan.model_flops,
        "hbm_traffic_gb_per_chip": line.hbm / 1e9,
        "collective_gb_per_chip": {
            f"{kind} over {' x '.join(axes)}": n / 1e9 for (kind, axes), n in line.traffic.items()
        },
    }


def to_page(plan: Plan, tokens: float) -> str:
    """The plan as one page of text; `tokens`: of the run that days are counted for."""
    step, line, chip = plan.step, plan.line, plan.step.chip
    gb = lambda n: f"{n / 1e9:,.2f} GB"
    share = lambda seconds: f"{seconds:9.4f} s {100 * seconds / line.seconds:6.1f}%"
    train, links = step.experiment.train, dict(line.busy)
    floor = max(line.flops / chip.peak_bf16, line.hbm / chip.hbm_bandwidth, *links.values(), 0.0)
    used = step.peak_bytes / chip.hbm_capacity
    rows = [
        (
            f"{n_params(step.experiment.model):,} parameters on {step.mesh.size:,} x {chip.name}"
            f" ({step.topology})"
        ),
        (
            "mesh"
            f" {' x '.join(f'{a} {n}' for a, n in step.mesh.shape.items() if n > 1) or 'of one device'}"
            f" · batch {train.global_batch_size:,} x {train.sequence_length:,} in"
            f" {train.accumulation_steps} piece(s) · remat {step.experiment.compute.remat}"
        ),
        "",
        "Memory of a chip, as compiled",
        (
            f"  arguments    {gb(step.argument_bytes):>14}   ({gb(step.state_bytes)} of parameters"
            " and moments)"
        ),
        f"  temporaries  {gb(step.temporary_bytes):>14}",
        (
            f"  peak         {gb(step.peak_bytes):>14}   of {gb(chip.hbm_capacity)}:"
            f" {100 * used:.1f}%, {'fits' if plan.fits else 'DOES NOT FIT'} ({100 * HBM_SHARE:.0f}%"
            " may be used)"
        ),
        "",
        "Work of a chip, a step",
        (
            f"  operations   {line.flops:14.3e}   FLOPs in matrix products,"
            f" {line.flops / plan.model_flops:.3f} of the model's own"
        ),
        f"  HBM          {gb(line.hbm):>14}   read and written",
    ]
    for (kind, axes), n in sorted(line.traffic.items(), key=lambda item: -item[1]):
        rows.append(f"  {kind:<18} {gb(n):>14}   over {' x '.join(axes)}")
    rows += [
        "",
        "Roofline: what each part would take alone, at the published rates",
        (
            f"  compute      {line.flops / chip.peak_bf16:9.4f} s   operations /"
            f" {chip.peak_bf16 / 1e12:.0f} TFLOP/s"
        ),
        (
            f"  HBM          {line.hbm / chip.hbm_bandwidth:9.4f} s   bytes /"
            f" {chip.hbm_bandwidth / 1e9:,.0f} GB/s"
        ),
        *(
            f"  link {name:<7} {seconds:9.4f} s   what goes over this axis of the torus"
            for name, seconds in sorted(links.items())
        ),
        (
            f"  all beside each other: {floor:.4f} s; one after the other: "
            f"{line.flops / chip.peak_bf16 + line.hbm / chip.hbm_bandwidth + max([0.0, *links.values()]):.4f} s"
        ),
        "",
        "Estimate: the compiled schedule on a timeline",
        f"  the model's arithmetic at peak          {share(plan.model_flops / chip.peak_bf16)}",
        *(f"  {name:<39} {share(seconds)}" for name, seconds in plan.losses.items()),
        f"  step                                    {share(line.seconds)}",
        "",
        (
            f"  {plan.tokens / line.seconds:,.0f} tokens a second · MFU {100 * plan.mfu:.1f}% ·"
            f" {tokens / plan.tokens * line.seconds / SECONDS_A_DAY:,.1f} days for {tokens:.3g}"
            f" tokens · limited by: {plan.limits}"
        ),
        (
            f"  MFU = {FORMULA}; the attention kernel is taken to reach"
            f" {100 * KERNEL_EFFICIENCY:.0f}% of the peak"
        ),
    ]
    return "\n".join(rows)


def run_tokens(train: TrainConfig, tokens: float) -> float:
    """`tokens`, or those of the experiment's own run where it is 0."""
    if math.isfinite(tokens) and tokens > 0:
        return tokens
    return float(train.total_steps * train.global_batch_size * train.sequence_length)
