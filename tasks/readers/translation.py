"""Reads sentence pairs: two files with a sentence a line, as the Korean Parallel corpora have them
(Park et al. 2016): NAME.ko and NAME.en.
"""

from pathlib import Path

from hclx.errors import DataError
from hclx.evaluate.items import Item
from hclx.tasks.readers.records import lines


def read_ko_en(path: str) -> list[Item]:
    """Reads pairs for translation from Korean into English. `path` is that of the Korean file."""
    return _pairs(path, "ko", "en")


def read_en_ko(path: str) -> list[Item]:
    """Reads pairs for translation from English into Korean. `path` is that of the Korean file."""
    return _pairs(path, "en", "ko")


def _pairs(path: str, source: str, target: str) -> list[Item]:
    stem = path.removesuffix(".gz")
    end = path[len(stem) :]
    paths = {"ko": path, "en": f"{stem.removesuffix('.ko')}.en{end}"}
    if not Path(paths["en"]).exists():
        raise DataError(f"{paths['en']} does not exist, and {path} is its translation")
    texts = {language: _sentences(file) for language, file in paths.items()}
    if len(texts["ko"]) != len(texts["en"]):
        counts = " and ".join(f"{paths[key]} has {len(texts[key])}" for key in paths)
        raise DataError(f"{counts} lines; a line of one is the translation of that of the other")
    return [
        Item(str(number), {"source": question}, answer, (answer,))
        for number, (question, answer) in enumerate(
            zip(texts[source], texts[target], strict=True), start=1
        )
    ]


def _sentences(path: str) -> list[str]:
    sentences = [sentence for _, sentence in lines(path)]
    if sentences and not sentences[-1]:
        sentences.pop()  # behind the last newline
    for number, sentence in enumerate(sentences, start=1):
        if not sentence.strip():
            raise DataError(f"{path}:{number} is empty; a sentence is expected")
    return sentences
