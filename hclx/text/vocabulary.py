"""The tokenizer as a seqio vocabulary, whose in-graph encoder returns the ids of the Python one."""

import os
from collections.abc import Iterable

from hclx.errors import DataError
from hclx.text.seqio_imports import seqio, tf, tf_text
from hclx.text.tokenizer import BYTE_TO_CHAR, Tokenizer, load_tokenizer, to_text

TOKENIZER_DIR_VARIABLE = "HCLX_TOKENIZER_DIR"


class HclxVocabulary(seqio.Vocabulary):
    """A seqio vocabulary that loads its tokenizer when it is first needed.

    Tasks are registered before the tokenizer of the run is known, so the folder may be named later:
    by `set_directory` or by the environment variable HCLX_TOKENIZER_DIR.
    """

    def __init__(self, directory: str | None = None):
        """Names the folder of the tokenizer; None: it is named later."""
        super().__init__(extra_ids=0)
        self._directory = directory
        self._tokenizer: Tokenizer | None = None
        self._in_graph: tf_text.SentencepieceTokenizer | None = None

    def set_directory(self, directory: str) -> None:
        """Replaces the tokenizer by that of another folder, which is read and checked only when it
        is used next.
        """
        self._directory, self._tokenizer, self._in_graph = str(directory), None, None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, loaded at first use.

        Raises:
          DataError: no folder is named, or its tokenizer cannot be loaded.
        """
        if self._tokenizer is None:
            directory = self._directory or os.environ.get(TOKENIZER_DIR_VARIABLE)
            if not directory:
                raise DataError(
                    f"no tokenizer is named for the tasks; set {TOKENIZER_DIR_VARIABLE} to its"
                    " folder"
                )
            self._tokenizer = load_tokenizer(directory)
        return self._tokenizer

    @property
    def bos_id(self) -> int:
        """The end-of-document token; it also precedes every document."""
        return self.tokenizer.eod_id

    @property
    def eos_id(self) -> int:
        """The end-of-document token, which is also `bos_id`."""
        return self.tokenizer.eod_id

    @property
    def unk_id(self) -> None:
        """None, as every text can be encoded."""
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def _encode(self, s: str) -> list[int]:
        return self.tokenizer.encode(s)

    def _decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        if self.tokenizer.splits_text:  # the morphological analyser is no TensorFlow op
            ids = tf.numpy_function(self._encode_bytes, [s], tf.int32, stateful=False)
            return tf.ensure_shape(ids, [None])
        alphabet = tf.constant(BYTE_TO_CHAR)
        chars = tf.strings.reduce_join(
            tf.gather(alphabet, tf.cast(tf.io.decode_raw(s, tf.uint8), tf.int32)), axis=-1
        )
        return self._sentencepiece().tokenize(chars)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        decode = lambda array: self.tokenizer.decode_bytes(array.ravel().tolist())
        return tf.numpy_function(decode, [ids], tf.string, stateful=False)

    def _encode_bytes(self, data: bytes):
        import numpy as np

        return np.array(self.tokenizer.encode(to_text(data)), np.int32)

    def _sentencepiece(self) -> tf_text.SentencepieceTokenizer:
        if self._in_graph is None:
            with tf.init_scope():
                # Never tf_text.FastSentencepieceTokenizer: its ids are wrong for BPE models.
                self._in_graph = tf_text.SentencepieceTokenizer(
                    model=self.tokenizer.model, out_type=tf.int32
                )
        return self._in_graph

    def __eq__(self, other) -> bool:
        return self is other or (
            isinstance(other, HclxVocabulary)
            and self.tokenizer.fingerprint == other.tokenizer.fingerprint
        )
