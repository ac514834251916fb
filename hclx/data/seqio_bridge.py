"""The bridge from seqio: the sources of a registered mixture or task, for the token cache."""

import seqio
import tensorflow as tf

from hclx.data.source import Source
from hclx.errors import ConfigError

tf.config.set_visible_devices([], "GPU")  # TensorFlow would take all of a GPU's memory to read text


def mixture_sources(name: str) -> list[Source]:
    """The tasks of a mixture (or one task) with their rates.

    Raises:
      ConfigError: the name is not registered, or a task's source is not one of documents.
    """
    import tasks.corpora  # noqa: F401, registers the corpora
    from tasks.common import DocumentSource

    known = sorted({*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()})
    if name not in known:
        raise ConfigError(
            f"DataConfig.mixture={name!r} is not registered in tasks/; known are {', '.join(known)}"
        )
    provider = seqio.get_mixture_or_task(name)
    subtasks = seqio.get_subtasks(provider)
    rate = provider.get_rate if isinstance(provider, seqio.Mixture) else lambda task: 1.0
    for task in subtasks:
        if not isinstance(task.source, DocumentSource):
            raise ConfigError(
                f"task {task.name!r} does not read documents; register it with"
                " tasks.common.add_corpus"
            )
    return [
        Source(task.name, rate(task), task.source.paths, task.source.documents) for task in subtasks
    ]
