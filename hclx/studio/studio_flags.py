"""The options of `hclx serve` that say what it keeps: keys, people, and tuned models."""

import contextlib
import os

from absl import flags

from hclx.errors import ConfigError, require

flags.disclaim_key_flags()  # these belong to the script, in --help too


class StoreFlags:
    """The options."""

    def __init__(self):
        """Defines the options."""
        store = "Keys of `hclx keys`: a file, or postgresql://HOST/NAME; default: no key."
        self._store = flags.DEFINE_string("store", None, store)
        studio = "The folder of the Studio, whose pages are at /studio/; default: no Studio. It has"
        studio += " the store and the tuning, unless --store and --tuning_dir name others."
        self._studio = flags.DEFINE_string("studio_dir", None, studio)
        tuning = "The folder of data sets and jobs of tuning; default: nothing is tuned."
        self._tuning = flags.DEFINE_string("tuning_dir", None, tuning)
        jobs = "Jobs of tuning that run here at once; 0: other servers run them."
        self._jobs = flags.DEFINE_integer("tuning_jobs", 1, jobs, 0)

    @property
    def has_store(self) -> bool:
        """Returns whether those who ask need a key, or log in."""
        return bool(self._store.value or self._studio.value)

    def check(self, has_folder: bool) -> None:
        """Checks the options before anything is opened.

        Args:
          has_folder: whether the model is that of a folder.
        Raises:
          ConfigError: they do not go together, or a library is not installed.
        """
        if self._tuning.value and not (self.has_store and has_folder):
            raise ConfigError(
                "--tuning_dir needs --store or --studio_dir, who may tune, and --model_dir"
            )
        require("msgspec", "prometheus_client", "starlette", "uvicorn")
        require(*(["python_multipart"] if self.tuning_dir(has_folder) else []))
        require(*(["sqlalchemy"] if self.has_store else []))
        folder = self._studio.value
        if folder and os.path.exists(folder) and not os.path.isdir(folder):
            raise ConfigError(f"--studio_dir={folder} is a file; give the name of a folder")

    def tuning_dir(self, has_folder: bool) -> str | None:
        """Returns the folder of tuning; None: nothing is tuned. See `check`."""
        if self._tuning.value or not (self._studio.value and has_folder):
            return self._tuning.value
        return os.path.join(self._studio.value, "tuning")

    @property
    def tuning(self):
        """Returns the limits of tuning."""
        from hclx.serve.tuning.tuning_config import TuningConfig

        return TuningConfig(running=self._jobs.value)

    def open_keys(self) -> contextlib.AbstractContextManager:
        """Returns a context that has the keys of the store; None if there is none."""
        if self._studio.value:
            from hclx.studio.open_studio import open_studio

            return open_studio(self._studio.value, self._store.value)
        from hclx.serve.serve_model import keys_of_store

        return keys_of_store(self._store.value)

    def additions(self, keys, has_folder: bool, host: str, port: int) -> dict:
        """Returns what a Studio adds to `hclx.serve.serve_model.serve_model`; {} without one.

        Args:
          keys: that `open_keys` has opened.
          has_folder: whether the model is that of a folder.
          host, port: where the server listens.
        """
        if not self._studio.value:
            return {}
        from hclx.studio.open_studio import login_line, studio_dialects

        has_tuning = self.tuning_dir(has_folder) is not None
        notice = lambda: login_line(keys, host, port)
        return {"added": studio_dialects(keys, has_tuning), "notice": notice}
