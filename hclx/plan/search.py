"""Looks for a better plan: arithmetic ranks what could be done, the compiler judges the best of it."""

import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator

from hclx.config import MESH_AXES, Experiment, MeshConfig
from hclx.errors import ConfigError
from hclx.plan.chips import Chip, chip_of
from hclx.plan.compile import topology_devices
from hclx.plan.report import HBM_SHARE, Plan
from hclx.train.flops import flops_per_token

_LOG = logging.getLogger(__name__)
MODEL_WAYS, SEQ_WAYS, PIECES, REMATS = (1, 2, 4, 8), (1, 2), (1, 2, 4), ("minimal", "full")
# Of the large arrays that a block keeps for the backward pass, in units of d_model a token: see hclx/model/remat.py.
KEPT = {"minimal": 3 + 1 + 1 + 4 + 1, "full": 1}


@dataclasses.dataclass(frozen=True)
class Guess:
    """A candidate, and what arithmetic says of it: seconds a step, and bytes of a chip."""

    experiment: Experiment
    seconds: float
    bytes: float

    @property
    def name(self) -> str:
        train, compute = self.experiment.train, self.experiment.compute
        mesh = " x ".join(f"{a} {n}" for a, n in zip(MESH_AXES, self.experiment.mesh.shape) if n > 1)
        return f"{mesh or 'one chip'} · batch {train.global_batch_size} in {train.accumulation_steps} · {compute.remat}"


@dataclasses.dataclass(frozen=True)
class Result:
    """A candidate after the compiler saw it: its plan, or why there is none."""

    guess: Guess
    plan: Plan | None
    error: str = ""

    @property
    def usable(self) -> bool:
        return self.plan is not None and self.plan.fits


def search(
    experiment: Experiment, topology: str, num_slices: int, make: Callable[[Experiment], Plan], compiles: int
) -> list[Result]:
    """Compiles the candidates that arithmetic likes best, then larger batches on the mesh that won.

    Args:
      experiment: its model, batch and length are kept; its mesh, remat policy and accumulation are tried anew.
      topology: of one slice; `num_slices` of them.
      make: compiles an experiment and puts it on its timeline.
      compiles: how many candidates to compile, larger batches not counted.
    Returns:
      The best first: by MFU, what does not fit at the end.
    Raises:
      ConfigError: no candidate fits, by arithmetic or as compiled.
    """
    chip, chips = chip_of(topology), len(topology_devices(topology, num_slices))
    guesses = sorted(candidates(experiment, chips, chip), key=lambda g: g.seconds)
    fitting = [g for g in guesses if g.bytes <= HBM_SHARE * chip.hbm_capacity]
    if not fitting:
        least = min((g.bytes for g in guesses), default=0.0)
        raise ConfigError(
            f"no mesh of {chips} x {chip.name} holds this model and batch: by arithmetic the smallest needs {least / 1e9:.0f} GB "
            f"of {chip.hbm_capacity / 1e9:.0f} GB a chip; use more chips, or a smaller batch"
        )
    results = [_try(guess, make) for guess in fitting[:compiles]]
    best = max((r for r in results if r.usable), key=lambda r: r.plan.mfu, default=None)
    for times in (2, 4) if best else ():
        train = dataclasses.replace(best.guess.experiment.train, global_batch_size=times * experiment.train.global_batch_size)
        guess = _guess(dataclasses.replace(best.guess.experiment, train=train), chips, chip)
        if guess.bytes <= HBM_SHARE * chip.hbm_capacity:
            results.append(_try(guess, make))
    if best is None:
        tried = "; ".join(f"{r.guess.name}: {r.error or f'{r.plan.step.peak_bytes / 1e9:.0f} GB'}" for r in results)
        raise ConfigError(f"none of the {len(results)} candidates that were compiled fits {chips} x {chip.name}: {tried}")
    return sorted(results, key=lambda r: -(r.plan.mfu if r.usable else -1.0 if r.plan is None else 0.0))


def _try(guess: Guess, make: Callable[[Experiment], Plan]) -> Result:
    try:
        plan = make(guess.experiment)
    except ConfigError as error:
        return Result(guess, None, str(error))
    _LOG.info("%s: MFU %.1f%%, %.1f GB", guess.name, 100 * plan.mfu, plan.step.peak_bytes / 1e9)
    return Result(guess, plan)


def candidates(experiment: Experiment, chips: int, chip: Chip) -> Iterator[Guess]:
    """Every mesh of powers of two that cuts heads, length and batch evenly, with each remat policy and accumulation."""
    model, train = experiment.model, experiment.train
    for ways, seq, pieces, remat in itertools.product(MODEL_WAYS, SEQ_WAYS, PIECES, REMATS):
        if chips % (ways * seq) or model.n_heads % (ways * seq) or train.global_batch_size % pieces:
            continue
        rest = chips // (ways * seq)
        for fsdp in (2**power for power in range(rest.bit_length())):
            rows = train.global_batch_size // pieces
            if rest % fsdp or rows % rest or model.d_model % fsdp:
                continue
            yield _guess(
                dataclasses.replace(
                    experiment,
                    mesh=MeshConfig(data=rest // fsdp, fsdp=fsdp, seq=seq, model=ways),
                    compute=dataclasses.replace(experiment.compute, remat=remat),
                    train=dataclasses.replace(train, accumulation_steps=pieces),
                ),
                chips,
                chip,
            )


def _guess(experiment: Experiment, chips: int, chip: Chip) -> Guess:
    """Products at 85% of the peak; parameters gathered twice and gradients scattered once a piece, beside the products;
    activations summed over `model` four times a block, and nothing beside that."""
    model, train, mesh = experiment.model, experiment.train, experiment.mesh
    tokens = train.global_batch_size * train.sequence_length / chips  # a chip, all pieces together
    again = 4 / 3 if experiment.compute.remat == "full" else 1.0
    compute = again * flops_per_token(model, train.sequence_length) * tokens / (0.85 * chip.peak_bf16)
    link = 2 * chip.link
    axes = min(chip.torus_axes, 2 if mesh.fsdp < chips else chip.torus_axes)
    gathered = 3 * train.accumulation_steps * 2 * model.n_params / mesh.model if mesh.fsdp > 1 else 0.0
    activations = 2 * tokens * mesh.model * model.d_model  # bytes that the chips of one `model` group share
    summed = 4 * model.n_layers * 2 * activations * (mesh.model - 1) / mesh.model / chip.link
    exchanged = 8 * model.n_layers * activations / mesh.model / chip.link / 4 if mesh.seq > 1 else 0.0
    seconds = max(compute, gathered / (axes * link)) + summed + exchanged
    state = 12 * model.n_params / (mesh.fsdp * mesh.model)
    kept = 2 * model.n_layers * tokens / train.accumulation_steps * model.d_model * KEPT[experiment.compute.remat]
    gradients = 4 * model.n_params / (mesh.fsdp * mesh.model)
    block = 2 * 2 * 12 * model.d_model**2 / mesh.model  # the weights of two blocks, gathered
    head = 3 * 4 * model.vocab_size * model.d_model / mesh.model
    return Guess(experiment, seconds, state + gradients + kept + block + head)


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
        why = "the best" if plan is best else _why(plan, best) if plan.fits else f"does not fit {plan.step.chip.hbm_capacity / 1e9:.0f} GB"
        rows.append(
            f"{result.guess.name:<{width}}  {100 * plan.mfu:4.1f}%  {plan.line.seconds:7.3f}  {plan.step.peak_bytes / 1e9:7.1f}   {why}"
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
    return f"{name}: {100 * mine[name]:.1f}% of the step, {100 * its.get(name, 0.0):.1f}% in the best"
