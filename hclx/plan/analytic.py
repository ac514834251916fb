"""Estimates memory and time of a training step by arithmetic alone, without a compiler.

The estimates rank the candidates that --search then compiles, and plan runs on GPUs, for which
there is no compiler without a GPU. Nothing was fitted to a run: the assumptions are the fields of
`Chip` and the constants below, and docs/performance.md compares estimates with compiled plans and
published runs.
"""

import dataclasses

from hclx.config import MESH_AXES, Experiment, ModelConfig
from hclx.model import count_params, n_params, param_specs
from hclx.parallel.chips import Chip
from hclx.plan.topology import HBM_SHARE, KERNEL_EFFICIENCY, gather_seconds
from hclx.train.flops import attention_flops_per_token, flops_per_token

# Numbers that norms, biases, GELU and residual sums of a block read and write in the forward and
# backward pass, by remat policy, as multiples of d_model for each token.
PASSES = {"none": 60, "minimal": 75, "full": 80}
# Bytes that the optimizer moves for each parameter: it reads weight, two moments and gradient, and
# writes the first three, all in float32.
OPTIMIZER_BYTES = 28


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Memory and time of a step on each chip.

    Attributes:
      experiment: the whole configuration.
      chip: the kind of chip.
      chips: number of chips.
      bytes: memory by purpose: "parameters and moments", "gradients", "kept for the backward pass",
        "weights of two blocks, gathered" and "embedding, its gradient, logits"; their
        sum is the peak.
      seconds: time by purpose: "matrix products", "attention kernel", "norms, activations",
        "optimizer", "waiting for transfers over AXIS", with AXIS fsdp, model or seq, and "filling
        and draining the pipeline"; the sum is the time of a step.
    """

    experiment: Experiment
    chip: Chip
    chips: int
    bytes: dict[str, float]
    seconds: dict[str, float]

    @property
    def peak_bytes(self) -> float:
        """Bytes of HBM that a chip needs at most in a step."""
        return sum(self.bytes.values())

    @property
    def step_time(self) -> float:
        """Seconds that a step takes."""
        return sum(self.seconds.values())

    @property
    def tokens(self) -> int:
        """Tokens in a step, of all chips together."""
        return self.experiment.train.global_batch_size * self.experiment.train.sequence_length

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation: the model's FLOPs in a step, without those that are recomputed,
        as a share, from 0 to 1, of the bf16 peak of all chips; see `hclx.train.flops.FORMULA`.
        """
        flops = (
            flops_per_token(self.experiment.model, self.experiment.train.sequence_length)
            * self.tokens
        )
        return flops / (self.step_time * self.chips * self.chip.peak_bf16)

    @property
    def fits(self) -> bool:
        """Returns whether a chip needs at most `HBM_SHARE` of its HBM, which leaves some for the
        runtime.
        """
        return self.peak_bytes <= HBM_SHARE * self.chip.hbm_capacity

    @property
    def limits(self) -> str:
        """The key of `seconds` that takes most time beside the matrix products, or "HBM" if the
        plan does not fit.
        """
        others = {name: s for name, s in self.seconds.items() if name != "matrix products"}
        return max(others, key=others.get) if self.fits else "HBM"

    @property
    def name(self) -> str:
        """Mesh, batch and remat policy in one line: "data 16 x fsdp 64 · batch 1024 in 1 ·
        minimal", where 1 is the number of accumulation steps.
        """
        train, compute, mesh = self.experiment.train, self.experiment.compute, self.experiment.mesh
        axes = " x ".join(f"{axis} {n}" for axis, n in zip(MESH_AXES, mesh.shape) if n > 1)
        pipe = f" · {compute.microbatches(mesh.pipe)} microbatches" if mesh.pipe > 1 else ""
        return (
            f"{axes or 'one chip'} · batch {train.global_batch_size} in {train.accumulation_steps}"
            f" · {compute.remat}{pipe}"
        )


def estimate(experiment: Experiment, chip: Chip, chips: int) -> Estimate:
    """Estimates memory and time of a step.

    For each microbatch, weights are gathered twice and gradients are scattered once, while products
    are computed. Nothing is computed during sums over `model`, exchanges over `seq`, and while the
    pipeline fills and drains.

    Args:
      experiment: the whole configuration; no axis of its mesh is -1.
      chip: the kind of chip.
      chips: number of chips, the product of the axes of the mesh.
    """
    return Estimate(
        experiment, chip, chips, _memory(experiment, chips), _times(experiment, chip, chips)
    )


def _memory(experiment: Experiment, chips: int) -> dict[str, float]:
    model, train, mesh = experiment.model, experiment.train, experiment.mesh
    # of one chip, in one microbatch of the accumulated gradient
    tokens = train.global_batch_size * train.sequence_length / train.accumulation_steps / chips
    held = _held_params(experiment)
    block = count_params(param_specs(model)["blocks"], in_matmul=True) / model.n_layers
    return {
        "parameters and moments": 12 * held,
        "gradients": 4 * held,
        "kept for the backward pass": (
            2 * model.n_layers * tokens * _kept_numbers(model, experiment.compute.remat)
        ),
        "weights of two blocks, gathered": 2 * 2 * block / mesh.model,
        "embedding, its gradient, logits": (
            (3 if model.tied_head else 5) * 4 * model.vocab_size * model.d_model / mesh.model
        ),
    }


def _held_params(experiment: Experiment) -> float:
    """Parameters that one chip holds, if all are sharded evenly."""
    mesh = experiment.mesh
    return n_params(experiment.model) / (mesh.fsdp * mesh.seq * mesh.model * mesh.pipe)


def _kept_numbers(model: ModelConfig, remat: str) -> int:
    """Numbers that a block keeps for the backward pass, for each token: see hclx/model/remat.py."""
    d, heads = model.d_model, model.n_heads * model.d_head
    keys_and_values = 2 * model.n_kv_heads * model.d_head
    return {
        "none": 34 * d,
        # its input; queries, keys and values; context; attention's output; the MLP's hidden layer
        "minimal": d + heads + keys_and_values + heads + d + (1 + model.gated_mlp) * model.d_mlp,
        "full": d,
    }[remat]


def _times(experiment: Experiment, chip: Chip, chips: int) -> dict[str, float]:
    model, train = experiment.model, experiment.train
    mesh, compute = experiment.mesh, experiment.compute
    tokens = train.global_batch_size * train.sequence_length / chips
    # tokens that pass through a chip, together with the chips that share them
    group = tokens * mesh.model * mesh.pipe
    attention = attention_flops_per_token(model, train.sequence_length)
    recomputed = 4 / 3 if compute.remat == "full" else 1.0
    products = (
        recomputed
        * (flops_per_token(model, train.sequence_length) - attention)
        * tokens
        / (chip.matmul_efficiency * chip.peak_bf16)
    )
    # the kernel computes the scores again in its backward pass
    kernel = 7 / 6 * recomputed * attention * tokens / (KERNEL_EFFICIENCY * chip.peak_bf16)
    # A stage gathers its weights for each microbatch: see hclx/parallel/pipeline.py.
    microbatches = compute.microbatches(mesh.pipe) if mesh.pipe > 1 else 1
    weights = 2 * n_params(model) / (mesh.model * mesh.pipe)
    gathered, shards = 3 * train.accumulation_steps * microbatches * weights, mesh.fsdp * mesh.seq
    over_fsdp = gather_seconds(chip, gathered, shards, chips) if shards > 1 else 0.0
    activations = 2 * group / mesh.pipe * model.d_model
    over_model = (
        4 * model.n_layers * 2 * gather_seconds(chip, activations, mesh.model, mesh.model)
        if mesh.model > 1
        else 0.0
    )
    over_seq = (
        8 * model.n_layers * activations / mesh.model / chip.link / 4 if mesh.seq > 1 else 0.0
    )
    passes = (
        model.n_layers * 2 * tokens * model.d_model * PASSES[compute.remat] / chip.hbm_bandwidth
    )
    busy = products + kernel + passes
    idle = (mesh.pipe - 1) / (microbatches * compute.pipeline_repeats)
    return {
        "matrix products": products,
        "attention kernel": kernel,
        "norms, activations": passes,
        "optimizer": OPTIMIZER_BYTES * _held_params(experiment) / chip.hbm_bandwidth,
        "waiting for transfers over fsdp": max(0.0, over_fsdp - busy),
        "waiting for transfers over model": over_model,
        "waiting for transfers over seq": over_seq,
        "filling and draining the pipeline": idle * busy,
    }
