"""How a corpus of documents becomes a seqio task: a source that knows its files, and one vocabulary
for all.
"""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator

import seqio
import tensorflow as tf

from hclx.data.read_settings import ReadSettings
from hclx.data.source import split_documents
from hclx.data.token_cache import SPLITS
from hclx.errors import DataError
from hclx.text.documents import Document
from hclx.text.vocabulary import HclxVocabulary

DATA_DIR_VARIABLE = "HCLX_DATA_DIR"

# The project's vocabulary: `VOCABULARY.set_directory(...)` or HCLX_TOKENIZER_DIR says which
# tokenizer it is.
VOCABULARY = HclxVocabulary()


class DocumentSource(seqio.FunctionDataSource):
    """Documents of JSON lines or text files, divided into training and validation by hash of their
    text.
    """

    def __init__(self, paths: Callable[[], list[str]], settings: ReadSettings = ReadSettings()):
        self.paths, self._settings = paths, settings
        super().__init__(self._dataset, splits=SPLITS)

    def documents(
        self, split: str, settings: ReadSettings, counts: Counter | None = None
    ) -> Iterator[Document]:
        """The documents of a split, in the order of the files.

        Raises:
          DataError: the files cannot be found or read.
        """
        return split_documents(self.paths, split, settings, counts)

    def _dataset(self, split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del shuffle_files, seed  # one order; shuffling is the reader's

        def generate():
            for document in self.documents(split, self._settings):
                yield {"text": document.text.encode("utf-8", errors="surrogatepass")}

        return tf.data.Dataset.from_generator(
            generate, output_signature={"text": tf.TensorSpec((), tf.string)}
        )


def add_corpus(name: str, paths: Callable[[], list[str]]) -> seqio.Task:
    """Registers a corpus as a task whose `targets` are the tokens of a document."""
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
    """The files that match a pattern under HCLX_DATA_DIR, looked for when they are read.

    Raises:
      DataError: the variable is not set, or nothing matches.
    """

    def paths() -> list[str]:
        folder = os.environ.get(DATA_DIR_VARIABLE)
        if not folder:
            raise DataError(
                f"{DATA_DIR_VARIABLE} is not set; it must name the folder that holds {pattern}"
            )
        found = sorted(glob.glob(os.path.join(folder, pattern)))
        if not found:
            raise DataError(
                f"{os.path.join(folder, pattern)} matches no file; {DATA_DIR_VARIABLE} must name"
                " the folder that holds it"
            )
        return found

    return paths
