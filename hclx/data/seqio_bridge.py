"""The bridge to seqio: a corpus of documents as a seqio data source, and the sources of a mixture
that is registered with seqio, for the token cache.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator

from hclx.data.source import ReadSettings, Source, split_documents
from hclx.data.token_cache import SPLITS
from hclx.errors import ConfigError
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
      ConfigError: the module does not exist, the name is not registered, or a task's source does
        not read documents.
    """
    try:
        importlib.import_module(task_module)
    except ModuleNotFoundError as error:
        if not f"{task_module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            f"DataConfig.task_module={task_module!r} cannot be imported ({error}); it is looked for"
            " in the working directory and on PYTHONPATH"
        ) from error
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
