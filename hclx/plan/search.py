"""Searches for a better plan: arithmetic ranks the candidates, then the best are compiled."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator

from hclx.config import Experiment, MeshConfig
from hclx.errors import ConfigError
from hclx.parallel import axis_across_slices, check_pipeline, resolve_mesh_shape
from hclx.parallel.chips import Chip
from hclx.plan.analytic import Estimate, estimate
from hclx.plan.compile import topology_devices
from hclx.plan.compiled_plan import Plan
from hclx.plan.topology import chip_of
from hclx.progress import ProgressBar

_LOG = logging.getLogger(__name__)
# The values that are tried; `data` and `fsdp` take the chips that are left.
PIPE, MODEL, SEQ = (1, 2, 4), (1, 2, 4, 8), (1, 2)
ACCUMULATION_STEPS = (1, 2, 4, 8, 16, 32, 64)
REMATS = ("minimal", "full")


@dataclasses.dataclass(frozen=True)
class Result:
    """A candidate that was compiled.

    Attributes:
      estimate: its memory and time by arithmetic.
      plan: its memory and time as compiled; None if that failed.
      error: why it failed; "" if it did not.
    """

    estimate: Estimate
    plan: Plan | None
    error: str = ""

    @property
    def usable(self) -> bool:
        """Returns whether it was compiled, and fits the chips' memory."""
        return self.plan is not None and self.plan.fits


def search(
    experiment: Experiment,
    topology: str,
    num_slices: int,
    make: Callable[[Experiment], Plan],
    compiles: int,
) -> list[Result]:
    """Compiles the experiment as it is, then the candidates that are fastest by arithmetic, then
    batches of twice and four times the size on the best mesh, if they fit by arithmetic.

    Args:
      experiment: its model, batch and sequence length are kept; other meshes, remat policies and
        accumulation steps are tried.
      topology: of one slice, such as "v5p:8x16x16".
      num_slices: that many slices.
      make: compiles and simulates an experiment; a ConfigError of it becomes `Result.error`.
      compiles: candidates to compile, without the experiment itself and the larger batches.
    Returns:
      Results by falling MFU; then those that do not fit, then those that failed. The experiment is
      not among them if its mesh does not fit the chips.
    Raises:
      ConfigError: no candidate fits, by arithmetic or as compiled; or see `topology_devices`.
    """
    chip, chips = chip_of(topology), len(topology_devices(topology, num_slices))
    own = _own(experiment, chip, chips)
    others = [
        candidate
        for candidate in rank(experiment, chip, chips)
        if axis_across_slices(candidate.experiment.mesh.shape, num_slices)
        and candidate.name not in {candidate.name for candidate in own}
    ]
    tried, results = own + others[:compiles], []
    with ProgressBar(len(tried), "candidates compiled", "candidate", slow_start=True) as progress:
        for candidate in tried:
            results.append(_compile(candidate, make))
            progress.update()
    best = max((r for r in results if r.usable), key=lambda r: r.plan.mfu, default=None)
    for times in (2, 4) if best else ():
        train = dataclasses.replace(
            best.estimate.experiment.train,
            global_batch_size=times * experiment.train.global_batch_size,
        )
        larger = estimate(dataclasses.replace(best.estimate.experiment, train=train), chip, chips)
        if larger.fits:
            results.append(_compile(larger, make))
    if best is None:
        reasons = "; ".join(
            f"{r.estimate.name}: {r.error or f'{r.plan.peak_bytes / 1e9:.0f} GB'}" for r in results
        )
        raise ConfigError(
            f"none of the {len(results)} compiled candidates fits {chips} x {chip.name}: {reasons}"
        )
    return sorted(
        results, key=lambda r: -(r.plan.mfu if r.usable else -1.0 if r.plan is None else 0.0)
    )


def _own(experiment: Experiment, chip: Chip, chips: int) -> list[Estimate]:
    """Returns the experiment as it is, or nothing if its mesh does not fit the number of chips."""
    try:
        mesh = MeshConfig(*resolve_mesh_shape(experiment.mesh, chips))
    except ConfigError as error:
        _LOG.info("the mesh of the configuration is not compiled: %s", error)
        return []
    return [estimate(dataclasses.replace(experiment, mesh=mesh), chip, chips)]


def _compile(candidate: Estimate, make: Callable[[Experiment], Plan]) -> Result:
    try:
        plan = make(candidate.experiment)
    except ConfigError as error:
        return Result(candidate, None, str(error))
    _LOG.info("%s: MFU %.1f%%, %.1f GB", candidate.name, 100 * plan.mfu, plan.peak_bytes / 1e9)
    return Result(candidate, plan)


def rank(experiment: Experiment, chip: Chip, chips: int) -> list[Estimate]:
    """Returns those of `candidates` that fit by arithmetic, the fastest first.

    On a torus, candidates that gather over all chips come last. By arithmetic they are as fast, but
    in the compiler's schedule they are slower: 82B on 1,024 v5p has an estimated MFU of 51.7% with
    fsdp 1024 and of 70.6% with data 16 x fsdp 64.

    Args:
      experiment, chip, chips: see `candidates`.
    Raises:
      ConfigError: none shards the experiment evenly, or none fits.
    """
    gathers_over_all = lambda mesh: (
        bool(chip.torus_axes) and chips > 1 and mesh.fsdp * mesh.seq * mesh.model == chips
    )
    ranked = sorted(
        candidates(experiment, chip, chips),
        key=lambda c: (gathers_over_all(c.experiment.mesh), c.step_time),
    )
    if not ranked:
        raise ConfigError(_why_none(experiment, chip, chips))
    fitting = [candidate for candidate in ranked if candidate.fits]
    if not fitting:
        least = min(candidate.peak_bytes for candidate in ranked)
        raise ConfigError(
            f"no mesh of {chips} x {chip.name} holds this model and batch: by arithmetic the"
            f" smallest needs {least / 1e9:.0f} GB of {chip.hbm_capacity / 1e9:.0f} GB a chip; use"
            " more chips, or a smaller batch"
        )
    return fitting


def _why_none(experiment: Experiment, chip: Chip, chips: int) -> str:
    """Says why no mesh of the chips shards an experiment: it may need fewer chips, or more rows."""
    model, batch = experiment.model, experiment.train.global_batch_size
    return (
        f"no mesh of {chips} x {chip.name} shards TrainConfig.global_batch_size={batch},"
        f" ModelConfig.n_heads={model.n_heads}, ModelConfig.n_layers={model.n_layers} and"
        f" ModelConfig.d_model={model.d_model} evenly: data x fsdp must divide the batch, and"
        " model x seq the heads; use fewer chips, or a batch that is a multiple of them"
    )


def candidates(experiment: Experiment, chip: Chip, chips: int) -> Iterator[Estimate]:
    """Yields the estimate of every mesh that shards layers, heads, width and batch evenly, with
    each of REMATS and ACCUMULATION_STEPS, whether it fits the memory or not.

    The axes pipe, model and seq have the sizes of the constants PIPE, MODEL and SEQ, fsdp a power
    of two, and data takes the chips that are left.

    Args:
      experiment: its model, batch and sequence length are kept.
      chip: the kind of chip.
      chips: number of chips.
    """
    config, batch = experiment.model, experiment.train.global_batch_size
    for pipe, model, seq, steps, remat in itertools.product(
        PIPE, MODEL, SEQ, ACCUMULATION_STEPS, REMATS
    ):
        within = pipe * model * seq
        if chips % within or config.n_heads % (model * seq) or batch % steps:
            continue
        rest, rows = chips // within, batch // steps
        if rows % rest:
            continue
        microbatches = _microbatches(config.n_layers, rows // rest, pipe)
        if microbatches is None:
            continue
        compute = dataclasses.replace(
            experiment.compute, remat=remat, pipeline_microbatches=microbatches, pipeline_repeats=1
        )
        for fsdp in (2**power for power in range(rest.bit_length())):
            if rest % fsdp or config.d_model % (fsdp * seq):
                continue
            candidate = dataclasses.replace(
                experiment,
                mesh=MeshConfig(pipe=pipe, data=rest // fsdp, fsdp=fsdp, seq=seq, model=model),
                compute=compute,
                train=dataclasses.replace(experiment.train, accumulation_steps=steps),
            )
            yield estimate(candidate, chip, chips)


def _microbatches(layers: int, rows: int, pipe: int) -> int | None:
    """Returns the largest divisor of `rows` up to 4 · `pipe`; None if the layers cannot be split
    into stages; 0 if there is no pipeline.
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
    """Returns the results as a table of text, a header and a line each: name, MFU in percent,
    seconds of a step, GB of HBM, and what keeps it from being the best.

    Args:
      results: as `search` returns them, the best first; at least one.
    """
    best = results[0].plan if results[0].usable else None
    width = max(len(result.estimate.name) for result in results)
    rows = [f"{'candidate':<{width}}    MFU   step s   HBM GB   why not"]
    for result in results:
        name, plan = f"{result.estimate.name:<{width}}", result.plan
        if plan is None:
            rows.append(f"{name}      -        -        -   {result.error}")
            continue
        rows.append(
            f"{name}  {100 * plan.mfu:4.1f}%  {plan.step_time:7.3f}  {plan.peak_bytes / 1e9:7.1f}  "
            f" {_compare(plan, best)}"
        )
    return "\n".join(rows)


def _compare(plan: Plan, best: Plan | None) -> str:
    """Names the loss whose share of the step exceeds most its share in the best plan."""
    if plan is best:
        return "the best"
    if not plan.fits:
        return f"does not fit {plan.chip.hbm_capacity / 1e9:.0f} GB"
    if best is None:
        return plan.limits
    shares = lambda p: {name: seconds / p.step_time for name, seconds in p.losses.items()}
    own, of_best = shares(plan), shares(best)
    name = max(own, key=lambda name: own[name] - of_best.get(name, 0.0))
    return (
        f"{name}: {100 * own[name]:.1f}% of the step, {100 * of_best.get(name, 0.0):.1f}% in the"
        " best"
    )
