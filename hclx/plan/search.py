"""Looks for a better plan: arithmetic ranks what could be done, the compiler judges the best of
it.
"""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator

from hclx.config import Experiment, MeshConfig
from hclx.errors import ConfigError
from hclx.parallel import axis_across_slices, check_pipeline, resolve_mesh_shape
from hclx.plan.analytic import Estimate, estimate
from hclx.plan.chips import Chip, chip_of
from hclx.plan.compile import topology_devices
from hclx.plan.report import Plan

_LOG = logging.getLogger(__name__)
MODEL_WAYS, SEQ_WAYS, PIPE_WAYS, REMATS = (1, 2, 4, 8), (1, 2), (1, 2, 4), ("minimal", "full")
PIECES = (1, 2, 4, 8, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Result:
    """A candidate after the compiler saw it: its plan, or why there is none."""

    guess: Estimate
    plan: Plan | None
    error: str = ""

    @property
    def usable(self) -> bool:
        return self.plan is not None and self.plan.fits


def search(
    experiment: Experiment,
    topology: str,
    num_slices: int,
    make: Callable[[Experiment], Plan],
    compiles: int,
) -> list[Result]:
    """Compiles the experiment as it is, the candidates that arithmetic likes best, then larger
    batches on the mesh that won.

    Args:
      experiment: its model, batch and length are kept; other meshes, remat policies and
        accumulation are tried beside its own.
      topology: of one slice; `num_slices` of them.
      make: compiles an experiment and puts it on its timeline.
      compiles: how many candidates to compile, its own and larger batches not counted.
    Returns:
      The best first: by MFU, what does not fit at the end.
    Raises:
      ConfigError: no candidate fits, by arithmetic or as compiled.
    """
    chip, chips = chip_of(topology), len(topology_devices(topology, num_slices))
    own = _own(experiment, chip, chips)
    can_be = lambda guess: (
        axis_across_slices(guess.experiment.mesh.shape, num_slices)
        and guess.name not in {one.name for one in own}
    )
    others = list(filter(can_be, rank(experiment, chip, chips)))
    results = [_try(guess, make) for guess in own + others[:compiles]]
    best = max((r for r in results if r.usable), key=lambda r: r.plan.mfu, default=None)
    for times in (2, 4) if best else ():
        train = dataclasses.replace(
            best.guess.experiment.train,
            global_batch_size=times * experiment.train.global_batch_size,
        )
        guess = estimate(dataclasses.replace(best.guess.experiment, train=train), chip, chips)
        if guess.fits:
            results.append(_try(guess, make))
    if best is None:
        tried = "; ".join(
            f"{r.guess.name}: {r.error or f'{r.plan.step.peak_bytes / 1e9:.0f} GB'}"
            for r in results
        )
        raise ConfigError(
            f"none of the {len(results)} candidates that were compiled fits {chips} x {chip.name}:"
            f" {tried}"
        )
    return sorted(
        results, key=lambda r: -(r.plan.mfu if r.usable else -1.0 if r.plan is None else 0.0)
    )


def _own(experiment: Experiment, chip: Chip, chips: int) -> list[Estimate]:
    """The experiment as it is, where its mesh is one of as many chips; else nothing."""
    try:
        mesh = MeshConfig(*resolve_mesh_shape(experiment.mesh, chips))
    except ConfigError as error:
        _LOG.info("the mesh of the configuration is not tried: %s", error)
        return []
    return [estimate(dataclasses.replace(experiment, mesh=mesh), chip, chips)]


def _try(guess: Estimate, make: Callable[[Experiment], Plan]) -> Result:
    try:
        plan = make(guess.experiment)
    except ConfigError as error:
        return Result(guess, None, str(error))
    _LOG.info("%s: MFU %.1f%%, %.1f GB", guess.name, 100 * plan.mfu, plan.step.peak_bytes / 1e9)
    return Result(guess, plan)


def rank(experiment: Experiment, chip: Chip, chips: int) -> list[Estimate]:
    """The candidates that fit by arithmetic, the fastest first; on a torus, those that gather over
    all chips come last.

    Arithmetic sees no difference there, but the compiler's schedule does: 82B on 1,024 v5p has an
    estimated MFU of 51.7% with fsdp 1024 and of 70.6% with data 16 x fsdp 64.

    Raises:
      ConfigError: none fits.
    """
    gathers_over_all = lambda mesh: (
        bool(chip.torus_axes) and chips > 1 and mesh.fsdp * mesh.seq * mesh.model == chips
    )
    guesses = sorted(
        candidates(experiment, chip, chips),
        key=lambda g: (gathers_over_all(g.experiment.mesh), g.step_time),
    )
    fitting = [g for g in guesses if g.fits]
    if not fitting:
        least = min((g.peak_bytes for g in guesses), default=0.0)
        raise ConfigError(
            f"no mesh of {chips} x {chip.name} holds this model and batch: by arithmetic the"
            f" smallest needs {least / 1e9:.0f} GB of {chip.hbm_capacity / 1e9:.0f} GB a chip; use"
            " more chips, or a smaller batch"
        )
    return fitting


def candidates(experiment: Experiment, chip: Chip, chips: int) -> Iterator[Estimate]:
    """Every mesh of powers of two that cuts layers, heads, length and batch evenly, with each remat
    policy and accumulation.
    """
    model, train = experiment.model, experiment.train
    for pipe, ways, seq, pieces, remat in itertools.product(
        PIPE_WAYS, MODEL_WAYS, SEQ_WAYS, PIECES, REMATS
    ):
        within = pipe * ways * seq
        if chips % within or model.n_heads % (ways * seq) or train.global_batch_size % pieces:
            continue
        rest, rows = chips // within, train.global_batch_size // pieces
        if rows % rest:
            continue
        microbatches = _microbatches(model.n_layers, rows // rest, pipe)
        if microbatches is None:
            continue
        compute = dataclasses.replace(
            experiment.compute, remat=remat, pipeline_microbatches=microbatches, pipeline_repeats=1
        )
        for fsdp in (2**power for power in range(rest.bit_length())):
            if rest % fsdp or model.d_model % (fsdp * seq):
                continue
            one = dataclasses.replace(
                experiment,
                mesh=MeshConfig(pipe=pipe, data=rest // fsdp, fsdp=fsdp, seq=seq, model=ways),
                compute=compute,
                train=dataclasses.replace(train, accumulation_steps=pieces),
            )
            yield estimate(one, chip, chips)


def _microbatches(layers: int, rows: int, pipe: int) -> int | None:
    """As many as rows and four times the stages allow; None where the pipeline cannot be cut so. 0
    without one.
    """
    if pipe == 1:
        return 0
    microbatches = max((m for m in range(1, 4 * pipe + 1) if rows % m == 0), default=1)
    try:
        check_pipeline(layers, rows, stages=pipe, repeats=1, microbatches=microbatches)
    except ConfigError:
        return None
    return microbatches


def to_table(results: list[Result]) -> str:
    """The candidates from the best to the worst, and what each lost to the first."""
    best = results[0].plan if results[0].usable else None
    width = max(len(r.guess.name) for r in results)
    rows = [f"{'candidate':<{width}}    MFU   step s   HBM GB   why not"]
    for result in results:
        if result.plan is None:
            rows.append(f"{result.guess.name:<{width}}      -        -        -   {result.error}")
            continue
        plan = result.plan
        why = (
            "the best"
            if plan is best
            else (
                _why(plan, best)
                if plan.fits
                else f"does not fit {plan.step.chip.hbm_capacity / 1e9:.0f} GB"
            )
        )
        rows.append(
            f"{result.guess.name:<{width}}  {100 * plan.mfu:4.1f}%  {plan.line.seconds:7.3f} "
            f" {plan.step.peak_bytes / 1e9:7.1f}   {why}"
        )
    return "\n".join(rows)


def _why(plan: Plan, best: Plan | None) -> str:
    """The loss that grew most against the best plan, in parts of the step."""
    if best is None:
        return plan.limits
    parts = lambda p: {name: seconds / p.line.seconds for name, seconds in p.losses.items()}
    mine, its = parts(plan), parts(best)
    grew = {name: mine[name] - its.get(name, 0.0) for name in mine}
    name = max(grew, key=grew.get)
    return (
        f"{name}: {100 * mine[name]:.1f}% of the step, {100 * its.get(name, 0.0):.1f}% in the best"
    )
