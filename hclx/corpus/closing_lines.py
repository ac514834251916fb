"""The lines that a build prints at its end."""

from collections.abc import Mapping

from hclx.corpus.card import shortage
from hclx.corpus.explain import summary
from hclx.data import TokenCache
from hclx.errors import DataError


def closing_lines(card: Mapping, output: str) -> list[str]:
    """Describes a corpus that was built.

    Args:
      card: see `hclx.corpus.card.write_card`.
      output: the folder of the corpus, as the user named it.
    Returns:
      A line for each source, its notes below it, the sentences on a shortage of tokens, warnings of
      sources that give nothing, and where to look next.
    """
    lines = []
    for name, source in card["sources"].items():
        lines += [summary(name, source), *(f"  {note}" for note in source["notes"])]
    lines += shortage(card["mixture_target"]) if card["mixture_target"] else []
    lines += [f"warning: {warning}" for warning in card["warnings"]]
    next_step = "mixture/ is what hclx build_cache --corpus takes"
    return [*lines, f"{output}: card.html says what became of every document, {next_step}"]


def refuse_empty(card: Mapping) -> None:
    """Refuses a corpus of which nothing is left, or whose mixture holds nothing.

    Raises:
      DataError: names the reasons, which are the warnings of the card.
    """
    if not card["all"]["kept"]["documents"]:
        raise DataError("no document of any source is left; change the rules that the lines name")
    mixture = card["mixture"]
    if mixture and not any(share.get("sampled", 1) for share in mixture.values()):
        reasons = card["warnings"] or ["the sources have `epochs: 0`, or their domains no share"]
        raise DataError(f"the mixture has no document: {'; '.join(reasons)}")


def cache_line(cache: TokenCache) -> str:
    """Describes the token cache of a mixture."""
    train, validation = cache.n_tokens("train"), cache.n_tokens("validation")
    return (
        f"{cache.directory}: {train:,} tokens to train on, {validation:,} to validate, fingerprint"
        f" {cache.fingerprint[:16]}"
    )
