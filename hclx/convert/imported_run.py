"""Folders of transformers where a command asks for the folder of a run: imported once, and kept."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from hclx.convert.importing import CONFIG, import_model
from hclx.errors import ConfigError
from hclx.hashing import json_hash
from hclx.text.new_folder import FolderTakenError

_LOG = logging.getLogger(__name__)


def run_of_folder(folder: str | Path) -> str:
    """Returns the folder of the run that a command reads.

    Args:
      folder: of a run, which is returned; or of transformers, which is imported the first time into
        `hclx/imported` in XDG_CACHE_HOME or ~/.cache, and again once one of its files has changed.
    Raises:
      ConfigError: the model is not supported, or the import cannot be written.
      DataError: a file is missing or damaged.
    """
    folder = Path(folder)
    if not is_of_transformers(folder):
        return str(folder)
    source = folder.resolve()
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "hclx", "imported")
    try:
        run = base.expanduser() / json_hash(list(_stamps(source)))[:16] / source.name
        if not run.exists():
            _LOG.warning("%s is of transformers: it is imported as %s", folder, run)
            import_model(source, run)
    except FolderTakenError:  # another process has imported the same files
        pass
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        raise ConfigError(
            f"{folder} is of transformers, and its import cannot be written: {error}; name a folder"
            " for it: hclx convert import --input=FOLDER --model_dir=RUN"
        ) from error
    return str(run)


def is_of_transformers(folder: Path) -> bool:
    """Returns whether a folder is of a model of transformers, and not of a run."""
    try:
        fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and isinstance(fields.get("model_type"), str)


def _stamps(folder: Path) -> Iterator[list]:
    """Yields what tells the files of a folder apart from changed ones, without reading them."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            status = path.stat()
            yield [str(path), status.st_size, status.st_mtime_ns]
