"""A plan for a compiled step: its memory, its time on a timeline, and what the time is lost to."""

import dataclasses

from hclx.config import Experiment
from hclx.parallel.chips import Chip
from hclx.plan.compile import CompiledStep
from hclx.plan.simulate import Timeline, simulate
from hclx.plan.topology import HBM_SHARE
from hclx.train.flops import flops_per_token


@dataclasses.dataclass(frozen=True)
class Plan:
    """The memory and time of a compiled training step. Seconds, bytes and FLOPs are those of one
    step on one chip.

    It shares `experiment`, `chip`, `chips`, `peak_bytes`, `step_time`, `tokens`, `fits`, `mfu` and
    `limits` with `hclx.plan.analytic.Estimate`.
    """

    step: CompiledStep
    timeline: Timeline
    model_flops: float  # of the model alone: see `hclx.train.flops.FORMULA`

    @property
    def experiment(self) -> Experiment:
        return self.step.experiment

    @property
    def chip(self) -> Chip:
        return self.step.chip

    @property
    def chips(self) -> int:
        return self.step.mesh.size

    @property
    def peak_bytes(self) -> int:
        return self.step.peak_bytes

    @property
    def step_time(self) -> float:
        return self.timeline.seconds

    @property
    def tokens(self) -> int:
        """Tokens a step, of all chips together."""
        return self.experiment.train.global_batch_size * self.experiment.train.sequence_length

    @property
    def fits(self) -> bool:
        return self.peak_bytes <= HBM_SHARE * self.chip.hbm_capacity

    @property
    def mfu(self) -> float:
        return self.model_flops / (self.step_time * self.chip.peak_bf16)

    @property
    def losses(self) -> dict[str, float]:
        """Seconds of the step by what they are lost to. Together with the model's FLOPs at peak
        they add up to the step.
        """
        timeline, peak = self.timeline, self.chip.peak_bf16
        return {
            "products that are recomputed or masked": (timeline.flops - self.model_flops) / peak,
            "matrix units not full": timeline.matmul + timeline.attention - timeline.flops / peak,
            "norms, activations, copies, optimizer": timeline.other,
            **{
                f"waiting for transfers over {' x '.join(axes)}": seconds
                for axes, seconds in timeline.exposed.most_common()
            },
        }

    @property
    def limits(self) -> str:
        """The largest loss, or "HBM" if the step does not fit."""
        return max(self.losses, key=self.losses.get) if self.fits else "HBM"


def make_plan(step: CompiledStep) -> Plan:
    """Simulates a compiled step."""
    train = step.experiment.train
    tokens = train.global_batch_size * train.sequence_length
    flops = flops_per_token(step.experiment.model, train.sequence_length) * tokens / step.mesh.size
    return Plan(step, simulate(step.module, step.mesh, step.chip), flops)
