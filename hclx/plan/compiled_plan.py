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

    Attributes:
      step: the compiled step.
      timeline: how one chip spends it.
      model_flops: FLOPs of the model alone, see `hclx.train.flops.flops_per_token`.
    """

    step: CompiledStep
    timeline: Timeline
    model_flops: float

    @property
    def experiment(self) -> Experiment:
        """The whole configuration, with the sizes of all mesh axes."""
        return self.step.experiment

    @property
    def chip(self) -> Chip:
        """The kind of chip."""
        return self.step.chip

    @property
    def chips(self) -> int:
        """The number of chips."""
        return self.step.mesh.size

    @property
    def peak_bytes(self) -> int:
        """Bytes of HBM that a chip needs, see `CompiledStep`."""
        return self.step.peak_bytes

    @property
    def step_time(self) -> float:
        """Seconds that a step takes."""
        return self.timeline.seconds

    @property
    def tokens(self) -> int:
        """Tokens a step, of all chips together."""
        return self.experiment.train.global_batch_size * self.experiment.train.sequence_length

    @property
    def fits(self) -> bool:
        """Returns whether a chip needs at most `HBM_SHARE` of its HBM, which leaves some for the
        runtime.
        """
        return self.peak_bytes <= HBM_SHARE * self.chip.hbm_capacity

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation: the model's FLOPs in a step, without those that are recomputed,
        as a share, from 0 to 1, of the bf16 peak; see `hclx.train.flops.FORMULA`.
        """
        return self.model_flops / (self.step_time * self.chip.peak_bf16)

    @property
    def losses(self) -> dict[str, float]:
        """Seconds of the step by what they are lost to: "products that are recomputed or masked",
        "matrix units not full", "norms, activations, copies, optimizer", and, longest first,
        "waiting for transfers over AXES", with the names of mesh axes joined by " x ". Together
        with the model's FLOPs at peak they add up to the step.
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
        """The key of the largest of `losses`, or "HBM" if the step does not fit."""
        return max(self.losses, key=self.losses.get) if self.fits else "HBM"


def make_plan(step: CompiledStep) -> Plan:
    """Simulates a compiled step, and counts the FLOPs of its model.

    Raises:
      ValueError: see `Module.trip_count`.
    """
    train = step.experiment.train
    tokens = train.global_batch_size * train.sequence_length
    flops = flops_per_token(step.experiment.model, train.sequence_length) * tokens / step.mesh.size
    return Plan(step, simulate(step.module, step.mesh, step.chip), flops)
