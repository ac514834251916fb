"""The tokenizer: morpheme-aware byte-level BPE, lossless, from training to encoding and export."""

from hclx.text.tokenizer import StreamDecoder, Tokenizer, has_tokenizer, load_tokenizer
from hclx.text.training import train_tokenizer

__all__ = ["StreamDecoder", "Tokenizer", "has_tokenizer", "load_tokenizer", "train_tokenizer"]
