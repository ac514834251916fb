"""Distillation, from rows to a student: a teacher is asked once, and the run is that of
pretraining, with the teacher's probabilities beside the targets.
"""

import dataclasses
from pathlib import Path

import jax
from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.distill.ask_teacher import Teacher, ask_teacher, find_teacher
from hclx.distill.distill_config import DistillConfig
from hclx.distill.distillation_loss import make_distillation_loss
from hclx.distill.taught_batch import TaughtLoader
from hclx.distill.teacher_cache import TeacherCache
from hclx.errors import CheckpointError, ConfigError
from hclx.model import n_params
from hclx.parallel import make_mesh
from hclx.progress import counted
from hclx.train.compilation_cache import keep_compiled_programs
from hclx.train.dry_run import check_before_work
from hclx.train.malloc import computes_on_cpu, keep_freed_memory
from hclx.train.messages import changes_in_words, ending
from hclx.train.optimizer import decay_mask
from hclx.train.pretrain import starting_point, train_loop
from hclx.train.run import RunOptions, claimed_folder, open_run
from hclx.train.run_changes import changes_of
from hclx.train.run_dir import has_begun, read_config
from hclx.train.run_parts import RunParts, begin_whole
from hclx.train.state import TrainState, abstract_state
from hclx.train.step import Training, check_device, make_program, make_token_losses
from hclx.tune import TuneConfig
from hclx.tune.tuning_data import TuningData, TuningText
from hclx.tune.tuning_run import tuning_parts

CACHE = "teacher"  # the folder of the teacher's cache in that of a run


def distill(
    experiment: Experiment,
    config: DistillConfig,
    text: TuningText,
    model_dir: str,
    teacher: str,
    options: RunOptions,
    cache_dir: str = "",
    mesh: Mesh | None = None,
) -> TrainState:
    """Teaches a student on rows. A run that was started before resumes, and so does the asking.

    Args:
      experiment: the model is the student, and `data.tokenizer_dir` the teacher's tokenizer.
      config: the settings.
      text: the rows, as for tuning: the completions are learnt.
      model_dir: takes what a run of pretraining leaves, but for tokenizer and token cache.
      teacher: MODEL_DIR or MODEL_DIR:STEP.
      options: of this start; `init_from` names the weights that the student begins with, "" random
        ones.
      cache_dir: of what the teacher says, which several students of the same rows share; "":
        MODEL_DIR/teacher.
      mesh: the devices; None: all, as the configuration lays them out.
    Returns:
      The last state, which is on disk.
    Raises:
      ConfigError, DataError and others: as `hclx.train.pretrain.pretrain`.
    """
    if computes_on_cpu():
        keep_freed_memory()
    check_before_work(experiment, model_dir, options)
    changes = changes_of(model_dir, experiment)
    keep_compiled_programs()
    mesh = mesh or make_mesh(experiment.mesh)
    say = print if jax.process_index() == 0 else lambda *_, **__: None
    with claimed_folder(model_dir, options) as lease, jax.set_mesh(mesh):
        plain, data = tuning_parts(experiment, TuneConfig(kind="finetune"), text, mesh)
        chosen = find_teacher(teacher, plain.hashes["vocabulary"])
        _check(experiment, config, model_dir, chosen)
        say(_summary(experiment, chosen, data, teacher), flush=True)
        folder = cache_dir or str(Path(model_dir) / CACHE)
        cache = _ask(experiment, config, chosen, data, plain, folder, mesh)
        parts = _parts(experiment, config, mesh, plain, data, cache, chosen)
        with open_run(experiment, model_dir, options, parts, lease) as run:
            state = starting_point(run)
            for line in changes_in_words(changes, experiment, model_dir, run.progress.step):
                say(line, flush=True)
            state = train_loop(run, state)
    say(ending(run))
    return state


def _ask(experiment, config, teacher, data, plain, folder, mesh) -> TeacherCache:
    train = experiment.train
    compute = check_device(experiment, mesh.devices.flat[0])
    made_from = {
        "tokenizer": plain.hashes["vocabulary"],
        "text": data.hashes["text"],
        "length": train.sequence_length,
    }
    rows = train.global_batch_size // train.accumulation_steps
    return ask_teacher(teacher, data.train, folder, compute, config, mesh, rows, made_from)


def _parts(
    experiment: Experiment,
    config: DistillConfig,
    mesh: Mesh,
    plain: RunParts,
    data: TuningData,
    cache: TeacherCache,
    teacher: Teacher,
) -> RunParts:
    """The parts of full fine-tuning, with the teacher's cache beside the rows."""
    model, train = experiment.model, experiment.train
    training = Training(
        decay_mask(model),
        lambda optimizer: abstract_state(model, train, optimizer, mesh),
        lambda compute: make_distillation_loss(model, compute, config),
        lambda compute: make_token_losses(model, compute),
    )

    def open_loader(program, skip) -> TaughtLoader:
        settings = {"seed": train.seed, "global_batch_size": train.global_batch_size}
        of_run = {"sharding": program.batch_sharding, "skip": skip}
        return TaughtLoader(data.train, cache, "train", **settings, **of_run)

    described = {**dataclasses.asdict(config), "teacher": teacher.fingerprint}
    return dataclasses.replace(
        plain,
        make_program=lambda factors: make_program(experiment, mesh, factors, training),
        open_loader=open_loader,
        begin=lambda program, weights, _: begin_whole(experiment, program, weights),
        read_frozen=lambda program, weights: {},
        description={"distill": described},
    )


def _check(experiment: Experiment, config: DistillConfig, model_dir: str, teacher: Teacher) -> None:
    """Refuses another teacher or other settings than the run has, and models that do not fit."""
    old = read_config(model_dir) if has_begun(model_dir) else None
    before = (old or {}).get("distill") or {}
    now = {**dataclasses.asdict(config), "teacher": teacher.fingerprint}
    differing = [name for name in now if old and before.get(name) != now[name]]
    if differing:
        listed = "; ".join(f"{n}: {before.get(n)!r} there, {now[n]!r} now" for n in differing)
        raise ConfigError(
            f"{model_dir} holds a run of other settings of distillation ({listed}); give those, or"
            " choose another --model_dir"
        )
    student, length = experiment.model, experiment.train.sequence_length
    if experiment.train.z_loss:
        raise ConfigError(
            f"TrainConfig.z_loss={experiment.train.z_loss} is of pretraining; leave it out, as the"
            " teacher's probabilities hold log Z where it is"
        )
    if student.vocab_size < teacher.model.vocab_size:
        raise CheckpointError(
            f"the student has {student.vocab_size} tokens and the teacher"
            f" {teacher.model.vocab_size}; give --gin.ModelConfig.vocab_size="
            f"{teacher.model.vocab_size}, or a student with as many"
        )
    if length > teacher.model.max_length:
        raise ConfigError(
            f"TrainConfig.sequence_length={length} is more than the {teacher.model.max_length}"
            " tokens that the teacher reads; give a shorter sequence"
        )


def _summary(experiment: Experiment, teacher: Teacher, data: TuningData, name: str) -> str:
    train = experiment.train
    rows, targets = len(data.train.tokens_bt), int((data.train.weights_bt > 0).sum())
    held_out, too_long = f"{data.n_held_out:,} held out", f"{data.n_dropped:,} too long"
    return (
        f"distill: {n_params(teacher.model):,} parameters of {name} teach"
        f" {n_params(experiment.model):,}\n"
        f"data: {counted(data.n_train, 'example')}, {held_out}, {too_long};"
        f" {counted(rows, 'row')} of {train.sequence_length} tokens with"
        f" {counted(targets, 'target')} · batch: {train.global_batch_size} rows,"
        f" {counted(train.total_steps, 'step')}"
    )
