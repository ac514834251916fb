"""The texts of the pages: both languages have the same ones, and every one that is asked for."""

import re
from pathlib import Path

import pytest

import hclx.studio

SCRIPTS = Path(hclx.studio.__file__).parent / "pages" / "js"
LANGUAGES = ("ko", "en")
# Braces that are shown to readers, and not filled.
SHOWN = {"examples.columnsHelp", "write.templateHelp", "test.noSlotsText"}


def texts_of(language):
    """Key -> text of a language: sections are indented by two spaces, keys by four."""
    source = (SCRIPTS / "words" / f"{language}.js").read_text(encoding="utf-8")
    texts = {}
    for section, body in re.findall(r"^  (\w+): \{\n(.*?)^  \},", source, re.DOTALL | re.MULTILINE):
        pairs = re.findall(r'"?([\w-]+)"?: "((?:[^"\\]|\\.)*)"', body)
        assert len({key for key, _ in pairs}) == len(pairs), f"{section} has a key twice"
        texts |= {f"{section}.{key}": text for key, text in pairs}
    return texts


def test_the_languages_have_the_same_texts_with_the_same_places_to_fill():
    korean, english = map(texts_of, LANGUAGES)
    assert len(korean) > 500 and korean.keys() == english.keys()
    slots = lambda text: set(re.findall(r"\{(\w+)\}", text))
    differing = {key for key in korean if slots(korean[key]) != slots(english[key])}
    assert differing <= SHOWN


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_that_is_asked_for_is_there(language):
    texts, asked = texts_of(language), set()
    for path in SCRIPTS.rglob("*.js"):
        source = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r'\bt\("(\w+\.[\w.-]+)"', source))
    asked -= {"editor.run"}  # of a comment, as an example
    assert len(asked) > 300 and asked <= texts.keys()
