"""seqio tasks and mixtures of Korean text; importing this package registers them."""

from tasks import corpora  # noqa: F401
from tasks.common import VOCABULARY, DocumentSource, add_corpus

__all__ = ["VOCABULARY", "DocumentSource", "add_corpus"]
