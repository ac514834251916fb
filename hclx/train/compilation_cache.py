"""Keeps compiled programs on disk, so that a run that starts again does not compile them again."""

import logging
import os
from pathlib import Path

import jax

_LOG = logging.getLogger(__name__)


def keep_compiled_programs() -> Path | None:
    """Turns on JAX's persistent compilation cache; call it before the first program is compiled.

    The folder is JAX's own setting where there is one (JAX_COMPILATION_CACHE_DIR, or the
    configuration), else `hclx/xla` in XDG_CACHE_HOME or ~/.cache. JAX names a program by its code,
    its options, its version and the kind of machine, so a program in the folder is the one that
    would have been compiled. If the folder cannot be written, nothing is kept.

    Returns:
      The folder that was chosen here, or None: JAX's own setting, or no folder at all.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return None
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base, "hclx", "xla")
    try:
        folder = folder.expanduser()
        # a user who can write here can run code in the next start
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        writable = False
    if not writable:
        _LOG.warning(
            "%s cannot be written: compiled programs are not kept; JAX_COMPILATION_CACHE_DIR names"
            " another",
            folder,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder
