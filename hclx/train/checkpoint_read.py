"""Reads checkpoints and verifies each array against its saved fingerprint.

A checkpoint is damaged where its content is missing, truncated, undecodable or another than was
saved. What only could not be read (permission, I/O, memory) ends the process and proves nothing:
see hclx/read_errors.py.

During a restore, orbax synchronises the processes on their devices: if one process cannot read its
files, the others would wait for it without end. So items are read by orbax's handlers, which do not
synchronise, and the processes agree on the outcome here.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from hclx.errors import CheckpointError, HclxError, StorageError, StuckError
from hclx.parallel import any_process_error
from hclx.read_errors import DAMAGED, INTERNAL, UNREADABLE, ReadFailure, diagnose
from hclx.train import checkpoint_format
from hclx.train.checkpoint_format import one_line


class Problem(NamedTuple):
    """A fault of a checkpoint.

    Attributes:
      text: a line.
      is_proved: whether the checkpoint is damaged; False: its files can be read, and their reader
        gives up, which damage or another version of it explains.
    """

    text: str
    is_proved: bool


class Stored(NamedTuple):
    """The content of a checkpoint as it was read: item -> tree of arrays, and the JSON items."""

    arrays: dict
    meta: dict
    loop: dict


Take = Callable[[str, jax.Array], None]  # (path in its item, such as "blocks/mlp/wi", the array)


def read_verified(
    path: Path, items: dict, take: Take | None = None
) -> tuple[Stored | None, Problem | None]:
    """Reads items of a checkpoint in the format that it was saved in, verifies them, and converts
    them to today's. All processes must call it, and get the same problem.

    Args:
      path: MODEL_DIR/checkpoints/STEP.
      items: item -> tree of `jax.ShapeDtypeStruct` with shardings.
      take: takes the arrays, of those items that the checkpoint has, one by one as they are
        verified, and none is returned. There is never more than one in memory.
    Returns:
      What was read, None if there is a problem; and the problem, None if there is none.
    Raises:
      CheckpointError: nothing is damaged, but it is of another model, another step, or another
        version of this program.
      StorageError: it cannot be read now, which says nothing about its content.
      StuckError: it cannot be read for another reason.
    """
    described, problem = _read_together(path, lambda: checkpoint_format.read_json_items(path))
    if problem:
        return None, problem
    meta, loop = described
    checkpoint_format.check_step(path, meta)
    checkpoint_format.check_format(path, meta["format"])
    if take:  # an imported model has weights alone
        saved = {name.partition("/")[0] for name in meta["fingerprint"]}
        items = {name: tree for name, tree in items.items() if name in saved}
    saved_items = checkpoint_format.as_saved(meta["format"], items)
    checkpoint_format.check_shapes(path, meta["fingerprint"], saved_items)
    arrays = {}
    for name, target in saved_items.items():
        parts = _one_by_one(target) if take else [target]
        for part in parts:
            tree, problem = _read_together(path, lambda: _read(path / name, part))
            if problem:
                return None, problem
            different = checkpoint_format.differences(meta["fingerprint"], {name: tree})
            if different:
                return None, Problem(different, True)
            if take:
                _hand_over(meta["format"], tree, take)
                tree = None  # before the next one is read
            else:
                arrays[name] = tree
    if not take:
        arrays = checkpoint_format.from_saved(meta["format"], arrays, items)
    return Stored(arrays, meta, loop), None


def _hand_over(saved_format: int, tree, take: Take) -> None:
    for leaf, array in jax.tree_util.tree_leaves_with_path(tree):
        path = jax.tree_util.keystr(leaf, simple=True, separator="/")
        for name, part in checkpoint_format.leaf_from_saved(saved_format, path, array).items():
            take(name, part)


def together(work: Callable) -> tuple[object, str]:
    """Does work that may fail in one process alone.

    Returns:
      Its result, and the problem that any process had ("" if none).
    """
    try:
        result, problem = work(), ""
    # orbax and tensorstore raise ValueError, KeyError, OSError and their own for what went wrong
    except Exception as error:
        result, problem = None, one_line(error)
    return result, any_process_error(problem)


def _read_together(path: Path, work: Callable) -> tuple[object, Problem | None]:
    """Does work that reads a checkpoint and may fail in one process alone. If any process could
    only not read it, this is raised in all, whatever the others say.
    """
    result, failure = None, ReadFailure("", "")
    _keep_closed_loops_quiet()
    try:
        result = work()
    except CheckpointError as error:  # of checkpoint_format: its checksums differ
        failure = ReadFailure(DAMAGED, str(error))
    except Exception as error:
        failure = diagnose(error, path)
    for kind, raised in ((UNREADABLE, StorageError), (INTERNAL, StuckError)):
        reason = any_process_error(failure.reason if failure.kind == kind else "")
        if reason:
            raise not_read(raised, path, reason)
    problem = any_process_error(f"{failure.kind}:{failure.reason}" if failure.kind else "")
    if not problem:
        return result, None
    kind, _, reason = problem.partition(":")
    return None, Problem(reason, kind == DAMAGED)


def not_read(kind: type[HclxError], path: Path, reason: str) -> HclxError:
    """The error for a checkpoint that was not read, and of which nothing is known."""
    return kind(
        f"{path} could not be read: {reason}. Nothing was renamed, as this does not mean that it is"
        " damaged; mend the cause and run the same command again"
    )


def _read(path: Path, target):
    """Reads a tree of arrays, or those leaves of it that are not None."""
    is_leaf = lambda x: x is None
    if None not in jax.tree.leaves(target, is_leaf=is_leaf):
        restore = ocp.args.StandardRestore(target)
        return ocp.StandardCheckpointHandler().restore(path, args=restore)
    partial = jax.tree.map(lambda x: ocp.PLACEHOLDER if x is None else x, target, is_leaf=is_leaf)
    arguments = ocp.args.PyTreeRestore(
        item=partial, restore_args=jax.tree.map(_restore_args, partial)
    )
    tree = ocp.PyTreeCheckpointHandler().restore(path, args=arguments)
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else None, tree)


def _restore_args(target) -> ocp.RestoreArgs:
    if target is ocp.PLACEHOLDER:
        return ocp.RestoreArgs()
    return ocp.ArrayRestoreArgs(
        sharding=target.sharding, global_shape=target.shape, dtype=target.dtype
    )


def _one_by_one(tree) -> Iterator:
    """Yields a tree once for each leaf, with None in place of the others."""
    leaves, structure = jax.tree.flatten(tree)
    for chosen in range(len(leaves)):
        yield structure.unflatten([leaf if i == chosen else None for i, leaf in enumerate(leaves)])


def _keep_closed_loops_quiet() -> None:
    """Lets TensorStore's threads end quietly where orbax gave up: after the first array that cannot
    be read it closes the event loop of all, and each other array would print a traceback.
    """
    before = sys.excepthook
    if getattr(before, "is_quiet", False):
        return

    def hook(kind, error, traceback):
        names, frame = [], traceback
        while frame:
            names.append(frame.tb_frame.f_code.co_name)
            frame = frame.tb_next
        if names != ["call_soon_threadsafe", "_check_closed"]:
            before(kind, error, traceback)

    hook.is_quiet = True
    sys.excepthook = hook
