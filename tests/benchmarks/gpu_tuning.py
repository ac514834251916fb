"""The training step of a method of tuning, as tests/benchmarks/gpu_worker.py times it: a frozen
base in bfloat16 with random weights, and LoRA on queries and values or a soft prompt before rows.
"""

import jax
import numpy as np

SLOTS = 100  # of the soft prompt


def tuning_step(kind: str, experiment, mesh, batches: list):
    """Builds the programs of a method; `mesh` is the ambient one.

    Args:
      kind: of `TuneConfig`.
      experiment, mesh: as in `hclx.train.step.make_program`.
      batches: of numpy arrays.
    Returns:
      The programs; a function that makes the first state; the batches, which begin with soft slots
      if the method has some: targets that are slots weigh nothing.
    """
    from hclx.model import init_params
    from hclx.train.step import make_program
    from hclx.tune import TuneConfig, begin_state
    from hclx.tune.frozen_base import hold_base
    from tests.benchmarks.tuning_programs import tuning

    model, train = experiment.model, experiment.train
    slots = min(SLOTS, train.sequence_length // 4)
    config = TuneConfig(kind=kind, length=slots, base_dtype="bfloat16")
    program = make_program(experiment, mesh, (), tuning(experiment, config, mesh))

    def make_state():
        shardings = jax.tree.map(lambda x: x.sharding, program.abstract_state.frozen)
        make = lambda: hold_base(init_params(model, jax.random.key(0)), model, config.base_dtype)
        base = jax.jit(make, out_shardings=shardings)()
        abstract, optimizer = program.abstract_state, program.optimizer
        return begin_state(model, train, config, optimizer, base, abstract)

    if kind == "prompt_tune":
        batches = [_behind_slots(batch, model.vocab_size, slots) for batch in batches]
    return program, make_state, batches


def _behind_slots(batch, vocab_size: int, slots: int):
    tokens_bt, weights_bt = np.array(batch.tokens_bt), np.array(batch.weights_bt)
    tokens_bt[:, :slots] = vocab_size + np.arange(slots)
    weights_bt[:, : slots - 1] = 0
    segments_bt, positions_bt = np.array(batch.segments_bt), np.array(batch.positions_bt)
    segments_bt[:, :slots] = segments_bt[:, slots : slots + 1]
    positions_bt[:, :slots] = np.arange(slots)
    return batch._replace(
        tokens_bt=tokens_bt,
        weights_bt=weights_bt,
        segments_bt=segments_bt,
        positions_bt=positions_bt,
    )
