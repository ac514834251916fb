"""Registers a corpus of documents as a seqio task; all tasks share one vocabulary."""

import glob
import os
from collections.abc import Callable

from hclx.data.seqio_bridge import DocumentSource
from hclx.errors import DataError
from hclx.tasks import DATA_DIR_VARIABLE
from hclx.text.seqio_imports import seqio
from hclx.text.vocabulary import HclxVocabulary

# The vocabulary of every task. `VOCABULARY.set_directory(...)` or HCLX_TOKENIZER_DIR names the
# folder of its tokenizer.
VOCABULARY = HclxVocabulary()


def add_corpus(name: str, paths: Callable[[], list[str]]) -> seqio.Task:
    """Registers a corpus as a task whose `targets` are the tokens of a document.

    Args:
      name: of the task.
      paths: () -> the files of the corpus, for example `data_files(...)`.
    """
    return seqio.TaskRegistry.add(
        name,
        source=DocumentSource(paths),
        preprocessors=[
            lambda dataset: seqio.preprocessors.rekey(dataset, {"targets": "text"}),
            seqio.preprocessors.tokenize,
            seqio.preprocessors.append_eos,
        ],
        output_features={"targets": seqio.Feature(VOCABULARY, add_eos=True)},
    )


def data_files(pattern: str) -> Callable[[], list[str]]:
    """Returns a function that finds the files of a pattern under HCLX_DATA_DIR when it is called.

    Args:
      pattern: a glob relative to the folder that the variable names.
    Raises:
      DataError: (when called) the variable is not set, or no file matches.
    """

    def paths() -> list[str]:
        folder = os.environ.get(DATA_DIR_VARIABLE)
        if not folder:
            raise DataError(
                f"{DATA_DIR_VARIABLE} is not set; it must name the folder that holds {pattern}"
            )
        files = sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))
        if not files:
            raise DataError(
                f"{os.path.join(folder, pattern)} matches no file; {DATA_DIR_VARIABLE} must name"
                " the folder that holds it"
            )
        return files

    return paths
