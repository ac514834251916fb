"""The texts of the pages: the same in both languages, none missing, none outside their files."""

import json
import re
from pathlib import Path

import pytest

import hclx.studio

JS = Path(hclx.studio.__file__).parent / "pages/js"
SCRIPTS = sorted(path for path in JS.rglob("*.js") if path.parent.name != "words")
_STRING = r'"(?:[^"\\]|\\.)*"'
_KEY = re.compile(r'([{,]\s*)(\w+|"[\w-]+")\s*:')
# A key that is used: t("part.name"), or t(`part.name_${...}`), of which what is before ${ is known.
_WHOLE = re.compile(r"""\bt\(\s*["'`]([\w.-]+)["'`]""")
_DYNAMIC = re.compile(r"\bt\(\s*`([\w.-]*)\$\{[^}]*\}([\w.-]*)`")
_LATER = re.compile(r'"((?:[a-z]+)\.[A-Za-z_]+)"')  # t(isOne ? "a.b" : "a.c")
# Texts that show a slot of a template as a sample, in the words of their language.
SAMPLES = {"examples.columnsHelp", "write.templateHelp", "test.noSlotsText"}
_COMMENT = re.compile(r"(?m)(^\s*|\s)//.*$")


def words_of(language):
    """The texts of a language, {"part.name": text}; the file is JSON but for its unquoted keys."""
    source = (JS / f"words/{language}.js").read_text(encoding="utf-8")
    body = source[source.index("export default") + len("export default") :].strip().rstrip(";")
    strings = []

    def keep(match):
        strings.append(match[0])
        return f"\0{len(strings) - 1}\0"

    body = re.sub(_STRING, keep, body)
    body = re.sub(r"//.*", "", body)
    body = re.sub(r"(\w+)\s*:", r'"\1":', re.sub(r"\0(\d+)\0(\s*:)", r"\0\1\0\2", body))
    body = re.sub(r",(\s*})", r"\1", body)
    body = re.sub(r"\0(\d+)\0", lambda match: strings[int(match[1])], body)
    parts = json.loads(body, object_pairs_hook=unique)
    return {f"{part}.{name}": text for part, texts in parts.items() for name, text in texts.items()}


def unique(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len({*names}), [name for name in names if names.count(name) > 1]
    return dict(pairs)


@pytest.fixture(scope="module")
def korean():
    return words_of("ko")


def source_of(path):
    return _COMMENT.sub(r"\1", path.read_text(encoding="utf-8"))


def test_both_languages_have_the_same_keys_with_the_same_values_in_them(korean):
    english = words_of("en")
    assert {*korean} == {*english}
    slots = lambda text: {*re.findall(r"\{\w+\}", text)}
    differing = {key for key, text in korean.items() if slots(text) != slots(english[key])}
    assert differing <= SAMPLES
    assert all(text.strip() for text in (*korean.values(), *english.values()))


def test_each_language_is_written_in_its_script(korean):
    hangul = re.compile("[\uac00-\ud7a3\u3131-\u318e]")
    english = {key for key, text in words_of("en").items() if hangul.search(text)}
    assert english <= {"shell.language", "write.templateHelp"}  # the other language; a particle
    words = lambda text: re.search("[A-Za-z]{4,}", re.sub(r"\{\w+\}", "", text))
    latin = {key for key, text in korean.items() if words(text) and not hangul.search(text)}
    assert latin <= {"shell.language"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(JS).as_posix())
def test_each_text_that_a_page_asks_for_is_there(path, korean):
    source, parts = source_of(path), {key.split(".")[0] for key in korean}
    asked = {key for key in _WHOLE.findall(source)}
    asked |= {
        key for key in _LATER.findall(source) if key.split(".")[0] in parts and "js" not in key
    }
    missing = sorted(key for key in asked if key not in korean)
    assert not missing
    for before, after in _DYNAMIC.findall(source):
        assert any(key.startswith(before) and key.endswith(after) for key in korean), before
        assert "." in before, "a part is named, so that this test sees it"


def test_no_text_is_left_over(korean):
    source = "\n".join(map(source_of, SCRIPTS))
    source += "t(`versions.part_${part}`)"  # is asked for through `label`
    used = {*_WHOLE.findall(source), *_LATER.findall(source)}
    stems = [tuple(pair) for pair in _DYNAMIC.findall(source)]
    left = [
        key
        for key in korean
        if key not in used
        and not any(key.startswith(before) and key.endswith(after) for before, after in stems)
    ]
    assert not left


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(JS).as_posix())
def test_no_hangul_stands_outside_the_words(path):
    lines = source_of(path).splitlines()
    lines = [line for line in lines if not line.startswith("const LABELS =")]  # of users' columns
    assert not [line for line in lines if re.search("[\uac00-\ud7a3\u3131-\u318e]", line)]
