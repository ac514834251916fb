"""The bridge to seqio: a corpus of documents as a seqio data source, and the sources of a mixture
that is registered with seqio, for the token cache.
"""

import importlib
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

from hclx.data.source import ReadSettings, Source, split_documents
from hclx.data.token_cache import SPLITS
from hclx.errors import ConfigError, HclxError
from hclx.text.documents import Document
from hclx.text.seqio_imports import seqio, tf


class DocumentSource(seqio.FunctionDataSource):
    """Documents of JSON lines or text files, divided into training and validation by a hash of
    their text.
    """

    def __init__(self, paths: Callable[[], list[str]], settings: ReadSettings = ReadSettings()):
        """Makes a source whose files are looked up when they are read.

        Args:
          paths: () -> the files.
          settings: how seqio reads them; a token cache is built with the settings of its run.
        """
        self.paths, self._settings = paths, settings
        super().__init__(self._dataset, splits=SPLITS)

    def documents(
        self, split: str, settings: ReadSettings, counts: Counter | None = None
    ) -> Iterator[Document]:
        """Yields the documents of a split, in the order of the files; arguments and errors are as
        in `hclx.data.source.split_documents`.
        """
        return split_documents(self.paths, split, settings, counts)

    def _dataset(self, split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del shuffle_files, seed  # the order is fixed; whoever reads the dataset shuffles it

        def generate():
            for document in self.documents(split, self._settings):
                yield {"text": document.text.encode("utf-8", errors="surrogatepass")}

        return tf.data.Dataset.from_generator(
            generate, output_signature={"text": tf.TensorSpec((), tf.string)}
        )


def mixture_sources(name: str, task_module: str) -> list[Source]:
    """Returns a `Source` for each task of a mixture, in its order, with its rate; a task alone has
    rate 1. No document is read yet.

    Args:
      name: of a mixture or task.
      task_module: the module that registers it, imported here.
    Raises:
      ConfigError: the module does not exist or fails, the name is not registered, or a task's
        source does not read documents.
    """
    _import_task_module(task_module)
    known = sorted({*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()})
    if name not in known:
        raise ConfigError(
            f"DataConfig.mixture={name!r} is not registered by {task_module}; known are"
            f" {', '.join(known)}"
        )
    provider = seqio.get_mixture_or_task(name)
    subtasks = seqio.get_subtasks(provider)
    rate = provider.get_rate if isinstance(provider, seqio.Mixture) else lambda task: 1.0
    for task in subtasks:
        if not isinstance(task.source, DocumentSource):
            raise ConfigError(
                f"task {task.name!r} does not read documents; register it with"
                " hclx.tasks.common.add_corpus"
            )
    return [
        Source(task.name, rate(task), task.source.paths, task.source.documents) for task in subtasks
    ]


def _import_task_module(name: str) -> None:
    setting = f"DataConfig.task_module={name!r}"
    try:
        importlib.import_module(name)
    except HclxError:
        raise
    except Exception as error:  # a module of the user may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{setting} cannot be imported ({error}); it was looked for in the working"
                f" directory, {os.getcwd()}, in the folders of PYTHONPATH and among the installed"
                " packages"
            ) from error
        place = _place_in_module(error)
        raise ConfigError(
            f"{setting} cannot be imported: {place + ' raises ' if place else ''}{reason}"
        ) from error


def _place_in_module(error: Exception) -> str:
    """Returns FILE:LINE of the statement of a module with which its import failed, "" if none of
    its statements ran.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call of the import
    ours = (importlib.__file__, "<frozen importlib")
    frame = next((frame for frame in frames if not frame.filename.startswith(ours)), None)
    return f"{frame.filename}:{frame.lineno}" if frame else ""
