"""The files of tuning as a service, in a folder that its servers share:

datasets/HASH.csv           files of rows, by the SHA-256 of their content
artefacts/HASH.safetensors  what jobs have made
jobs/ID/                    the runs of jobs, with their logs
new/                        files on their way to one of these
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

RUN = "run"  # in the folder of a job
_OLD_SECONDS = 86_400  # after which a file in new/ is one that a server left when it was killed


class TuningFiles:
    """The folder."""

    def __init__(self, folder: str | Path):
        """Makes the folder, if there is none; other users of the machine cannot read it."""
        self._folder = Path(folder)
        for name in ("datasets", "artefacts", "jobs", "new"):
            (self._folder / name).mkdir(0o700, parents=True, exist_ok=True)
        for path in (self._folder / "new").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _OLD_SECONDS:
                    path.unlink()

    def dataset(self, sha256: str, ending: str) -> Path:
        """Returns the path of a data set."""
        return self._folder / "datasets" / f"{sha256}{ending}"

    def artefact(self, sha256: str) -> Path:
        """Returns the path of an artefact."""
        return self._folder / "artefacts" / f"{sha256}.safetensors"

    def job(self, job_id: str) -> Path:
        """Returns the folder of a job."""
        return self._folder / "jobs" / job_id

    @contextlib.contextmanager
    def new_file(self, ending: str) -> Iterator[Path]:
        """Returns the path of a new file, which is removed with the context unless `keep` has put
        it to its place.
        """
        descriptor, name = tempfile.mkstemp(ending, dir=self._folder / "new")
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def new_copy(self, path: Path, ending: str) -> Iterator[Path]:
        """Returns the path of a copy of a file, as `new_file` does."""
        with self.new_file(ending) as new:
            shutil.copyfile(path, new)
            yield new


def keep(new: Path, path: Path) -> None:
    """Puts a new file to its place, on the disk for good."""
    with new.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(new, path)


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
