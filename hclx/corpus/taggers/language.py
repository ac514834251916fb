"""Detects the language of a text: by its scripts if they decide it, else by a model of bytes
(py3langid).
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

UNKNOWN = "und"
# Accuracy of the model in twelve languages: 96% with 20 letters, 93% with 15, 89% with 10.
MIN_LETTERS = 20
# Characters that the model sees: its accuracy with 50 letters is 99%, and a bound keeps the cost of
# long texts low.
_HEAD = 1000


def languages(
    texts: Sequence[str], shares: Mapping[str, np.ndarray], letters: np.ndarray
) -> np.ndarray:
    """Language of each document.

    Args:
      texts: of d documents.
      shares: script (korean, hangul, kana and han) -> its share of the letters, float32 [d].
      letters: number of letters, int64 [d].
    Returns:
      ISO 639-1 codes, object [d]. "ko" from 20% of Korean letters on (Hangul, and Han in text that
      mixes both), else "ja" from 10% of kana on, else "zh" from 50% of Han on. Else it is what
      py3langid finds in the first 1,000 characters, any of its languages; or "und", if there are
      fewer than `MIN_LETTERS` = 20 letters, if the text is in no language, as code and tables are,
      or if no language has a probability of 0.5. A text without letters is "und".
    """
    rules = [
        (letters == 0, UNKNOWN),
        (shares["korean"] >= 0.2, "ko"),  # Korean that quotes: Wikipedia's first percentile is 0.41
        (shares["kana"] >= 0.1, "ja"),
        (shares["han"] >= 0.5, "zh"),
        (letters < MIN_LETTERS, UNKNOWN),
    ]
    codes = np.select([holds for holds, _ in rules], [code for _, code in rules], "").astype(object)
    for i in np.flatnonzero(codes == ""):
        codes[i] = _model()(texts[i][:_HEAD])
    return codes


@functools.cache  # it takes a second to load, and most sources never need it
def _model() -> Callable[[str], str]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # A language must be more likely than all others together. In nearly all code no language is,
    # and in 6% of the texts of 20 letters.
    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=0.5)
    none = "zxx"  # its class for text that is in no language
    model.set_languages([none, *(label for label in model.labels if len(label) == 2)])
    return lambda text: model.classify(text)[0].replace(none, UNKNOWN)
