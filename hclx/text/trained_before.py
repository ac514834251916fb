"""The record of a tokenizer's training, for people and for a command that is run again."""

from pathlib import Path

from hclx.progress import counted, size_in_words
from hclx.text.pretokenizers import MODE_OF, pretokenizer_identity
from hclx.text.tokenizer import METADATA_FILE, Tokenizer, load_tokenizer
from hclx.text.training import REQUESTED_VOCAB_SIZE


def trained_before(
    output_dir: str, *, vocab_size: int, morphemes: str, sample_rate: float, seed: int
) -> Tokenizer | None:
    """Returns the tokenizer of a folder if it was trained with the same settings, else None. Its
    text is not compared: a tokenizer records no more of it than its size.

    Args:
      output_dir, vocab_size, morphemes, sample_rate, seed: see `hclx.text.train_tokenizer`.
    """
    if not (Path(output_dir) / METADATA_FILE).is_file():
        return None
    tokenizer = load_tokenizer(output_dir)
    recorded = tokenizer.metadata
    settings = {
        "mode": MODE_OF[morphemes],
        "cutter": pretokenizer_identity(morphemes),
        "sample_rate": sample_rate,
        "seed": seed,
    }
    sizes = recorded.get(REQUESTED_VOCAB_SIZE), recorded["vocab_size"]
    is_same = all(recorded.get(name) == value for name, value in settings.items())
    return tokenizer if is_same and vocab_size in sizes else None


def described(tokenizer: Tokenizer) -> str:
    """Returns the size of a tokenizer, how it splits text, and how much text it learnt from."""
    recorded = tokenizer.metadata
    text = f"{counted(recorded['documents'], 'document')} of {size_in_words(recorded['bytes'])}"
    return (
        f"{tokenizer.vocab_size:,} tokens, morphemes {tokenizer.morphemes}, split by"
        f" {recorded['cutter']}, from {text}"
    )
