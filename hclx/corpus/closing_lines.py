"""The lines that a build prints at its end."""

from collections.abc import Mapping

from hclx.corpus.card import shortage
from hclx.corpus.explain import summary


def closing_lines(card: Mapping, output: str) -> list[str]:
    """Describes a corpus that was built.

    Args:
      card: see `hclx.corpus.card.write_card`.
      output: the folder of the corpus, as the user named it.
    Returns:
      A line for each source, its notes below it, the sentences on a shortage of tokens, and where
      to look next.
    """
    lines = []
    for name, source in card["sources"].items():
        lines += [summary(name, source), *(f"  {note}" for note in source["notes"])]
    lines += shortage(card["mixture_target"]) if card["mixture_target"] else []
    next_step = "mixture/ is what hclx build_cache --corpus takes"
    return [*lines, f"{output}: card.html says what became of every document, {next_step}"]
