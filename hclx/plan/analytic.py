"""What a plan needs and takes by arithmetic alone: ranks what --search compiles, and plans GPUs,
whose compiler is not here.

Nothing below was fitted to a run. What is assumed stands in `Chip` and in the constants;
docs/performance.md holds the estimates against compiled plans and published runs.
"""

import dataclasses

from hclx.config import MESH_AXES, Experiment
from hclx.model import count_params, n_params, param_specs
from hclx.plan.chips import HBM_SHARE, KERNEL_EFFICIENCY, Chip
from hclx.train.flops import attention_flops_per_token, flops_per_token

# Of the arrays that a block keeps for the backward pass, in units of d_model a token: see
# hclx/model/remat.py.
KEPT = {"none": 34, "minimal": 3 + 1 + 1 + 4 + 1, "full": 1}
# Arrays that norms, biases, GELU and sums of a block read and write, forward and backward, in the
# same unit.
PASSES = {"none": 60, "minimal": 75, "full": 80}
# a parameter: weight, two moments and gradient are read, the first three written, all in float32
OPTIMIZER_BYTES = 28


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One chip's step by arithmetic. `bytes` and `seconds` by what they are for; the parts of each
    add up.
    """

    experiment: Experiment
    chip: Chip
    chips: int
    bytes: dict[str, float]
    seconds: dict[str, float]

    @property
    def peak_bytes(self) -> float:
        return sum(self.bytes.values())

    @property
    def step_time(self) -> float:
        return sum(self.seconds.values())

    @property
    def tokens(self) -> int:
        """Tokens a step, all chips together."""
        return self.experiment.train.global_batch_size * self.experiment.train.sequence_length

    @property
    def mfu(self) -> float:
        flops = (
            flops_per_token(self.experiment.model, self.experiment.train.sequence_length)
            * self.tokens
        )
        return flops / (self.step_time * self.chips * self.chip.peak_bf16)

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= HBM_SHARE * self.chip.hbm_capacity

    @property
    def limits(self) -> str:
        """What takes most of the step beside the products themselves, or that it does not fit."""
        losses = {name: s for name, s in self.seconds.items() if name != "matrix products"}
        return max(losses, key=losses.get) if self.fits else "HBM"

    @property
    def name(self) -> str:
        """Mesh, batch and remat policy in one line."""
        train, compute = self.experiment.train, self.experiment.compute
        mesh = " x ".join(
            f"{a} {n}" for a, n in zip(MESH_AXES, self.experiment.mesh.shape) if n > 1
        )
        pipe = (
            f" · {compute.microbatches(self.experiment.mesh.pipe)} microbatches"
            if self.experiment.mesh.pipe > 1
            else ""
        )
        return (
            f"{mesh or 'one chip'} · batch {train.global_batch_size} in {train.accumulation_steps}"
            f" · {compute.remat}{pipe}"
        )


def estimate(experiment: Experiment, chip: Chip, chips: int) -> Estimate:
    """Memory and time of a step.

    Weights are gathered twice and gradients scattered once for each piece of the batch, beside the
    products; sums over `model`, exchanges over `seq` and the pipeline's filling and draining are
    beside nothing.

    Args:
      experiment: its mesh has no axis of -1.
      chip: of which there are `chips`.
    """
    return Estimate(
        experiment, chip, chips, _memory(experiment, chips), _times(experiment, chip, chips)
    )


def _memory(experiment: Experiment, chips: int) -> dict[str, float]:
    model, train, mesh = experiment.model, experiment.train, experiment.mesh
    # of a chip
    tokens = train.global_batch_size * train.sequence_length / train.accumulation_steps / chips
    held = n_params(model) / (mesh.fsdp * mesh.seq * mesh.model * mesh.pipe)
    block = count_params(param_specs(model)["blocks"], in_matmul=True) / model.n_layers
    return {
        "parameters and moments": 12 * held,
        "gradients": 4 * held,
        "kept for the backward pass": (
            2 * model.n_layers * tokens * model.d_model * KEPT[experiment.compute.remat]
        ),
        "weights of two blocks, gathered": 2 * 2 * block / mesh.model,
        "embedding, its gradient, logits": 3 * 4 * model.vocab_size * model.d_model / mesh.model,
    }


def _times(experiment: Experiment, chip: Chip, chips: int) -> dict[str, float]:
    model, train, mesh, compute = (
        experiment.model,
        experiment.train,
        experiment.mesh,
        experiment.compute,
    )
    tokens = train.global_batch_size * train.sequence_length / chips
    # that pass through a chip, or through the chips that share them
    group = tokens * mesh.model * mesh.pipe
    attention = attention_flops_per_token(model, train.sequence_length)
    again = 4 / 3 if compute.remat == "full" else 1.0
    products = (
        again
        * (flops_per_token(model, train.sequence_length) - attention)
        * tokens
        / (chip.matmul_efficiency * chip.peak_bf16)
    )
    # scores again in its backward pass
    kernel = 7 / 6 * again * attention * tokens / (KERNEL_EFFICIENCY * chip.peak_bf16)
    held = n_params(model) / (mesh.fsdp * mesh.seq * mesh.model * mesh.pipe)
    # A stage gathers its weights for each microbatch: see hclx/parallel/pipeline.py.
    pieces = train.accumulation_steps * (compute.microbatches(mesh.pipe) if mesh.pipe > 1 else 1)
    weights = 2 * n_params(model) / (mesh.model * mesh.pipe)
    cut = mesh.fsdp * mesh.seq
    moved = chip.gather_seconds(3 * pieces * weights, cut, chips) if cut > 1 else 0.0
    activations = 2 * group / mesh.pipe * model.d_model
    summed = (
        4 * model.n_layers * 2 * chip.gather_seconds(activations, mesh.model, mesh.model)
        if mesh.model > 1
        else 0.0
    )
    exchanged = (
        8 * model.n_layers * activations / mesh.model / chip.link / 4 if mesh.seq > 1 else 0.0
    )
    passes = (
        model.n_layers * 2 * tokens * model.d_model * PASSES[compute.remat] / chip.hbm_bandwidth
    )
    busy = products + kernel + passes
    idle = (
        (mesh.pipe - 1) / (compute.microbatches(mesh.pipe) * compute.pipeline_repeats)
        if mesh.pipe > 1
        else 0.0
    )
    return {
        "matrix products": products,
        "attention kernel": kernel,
        "norms, activations": passes,
        "optimizer": OPTIMIZER_BYTES * held / chip.hbm_bandwidth,
        "waiting for transfers over fsdp": max(0.0, moved - busy),
        "waiting for transfers over model": summed,
        "waiting for transfers over seq": exchanged,
        "filling and draining the pipeline": idle * busy,
    }


def to_json(plan: Estimate, topology: str, tokens: float) -> dict:
    """The estimate as plain numbers, with the names that a compiled plan's JSON has too."""
    train = plan.experiment.train
    return {
        "method": "arithmetic",
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
        "days": tokens / plan.tokens * plan.step_time / 86_400,
        "days_for_tokens": tokens,
        "limits": plan.limits,
        "bytes": plan.bytes,
        "seconds": plan.seconds,
    }


def to_page(plan: Estimate, topology: str, tokens: float) -> str:
    """The estimate as one page of text; `tokens`: of the run that days are counted for."""
    chip, used = plan.chip, plan.peak_bytes / plan.chip.hbm_capacity
    rows = [
        (
            f"{n_params(plan.experiment.model):,} parameters on {plan.chips:,} x {chip.name}"
            f" ({topology})"
        ),
        f"mesh {plan.name}",
        "BY ARITHMETIC: no compiler for these chips is used, and nothing was run on them.",
        "",
        "Memory of a chip",
        *(f"  {name:<35} {n / 1e9:9.2f} GB" for name, n in plan.bytes.items()),
        (
            f"  peak                                {plan.peak_bytes / 1e9:9.2f} GB of"
            f" {chip.hbm_capacity / 1e9:.0f} GB: {100 * used:.1f}%,"
            f" {'fits' if plan.fits else 'DOES NOT FIT'} ({100 * HBM_SHARE:.0f}% may be used)"
        ),
        "",
        "Estimate",
        *(
            f"  {name:<35} {s:9.4f} s {100 * s / plan.step_time:6.1f}%"
            for name, s in plan.seconds.items()
            if s
        ),
        f"  step                                {plan.step_time:9.4f} s",
        "",
        (
            f"  {plan.tokens / plan.step_time:,.0f} tokens a second · MFU {100 * plan.mfu:.1f}% ·"
            f" {tokens / plan.tokens * plan.step_time / 86_400:,.1f} days for {tokens:.3g} tokens ·"
            f" limited by: {plan.limits}"
        ),
        (
            f"  Products are taken to reach {100 * chip.matmul_efficiency:.0f}% of"
            f" {chip.peak_bf16 / 1e12:.0f} TFLOP/s, the attention kernel"
            f" {100 * KERNEL_EFFICIENCY:.0f}%"
        ),
    ]
    return "\n".join(rows)
