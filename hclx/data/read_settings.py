"""What decides the content of a cache beside text and tokenizer."""

import dataclasses
import hashlib

from hclx.config import DataConfig


@dataclasses.dataclass(frozen=True)
class ReadSettings:
    """How documents are read and divided."""

    validation_permille: int = 10
    max_documents: int = 0  # a source; 0: all
    invalid_utf8: str = "refuse"

    @classmethod
    def of(cls, data: DataConfig) -> "ReadSettings":
        """The settings of a run's data."""
        return cls(data.validation_permille, data.max_documents, data.invalid_utf8)

    def split_of(self, text: str) -> str:
        """ "train" or "validation", by hash of the text: equal texts are on the same side."""
        digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
        return (
            "validation"
            if int.from_bytes(digest[:8]) % 1000 < self.validation_permille
            else "train"
        )
