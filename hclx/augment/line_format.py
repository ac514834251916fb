"""How a prompt document becomes lines that a model writes, and how these are read.

The same document is a task of evaluation. With choices, its text stands before the label, so that a
model which goes on behind the examples writes a text and then its label (GPT3Mix). Without, the
name of a class stands before the text.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from hclx.augment.marked_spans import MOST_CHARS, MOST_MARKS, SIGNS, MarkError, SlotSpan, read_marks
from hclx.augment.seeds import Seed
from hclx.errors import ConfigError, DataError
from hclx.prompts import PromptDocument, Slot, answer_texts, render

_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")
_END = "\n"  # ends a line where nothing else does
_BYTES = 4  # of a character in UTF-8, at most


@dataclasses.dataclass(frozen=True)
class Parsed:
    """A line that was read.

    Attributes:
      text: without marks.
      label: the key of its label.
      marked: the text with its marks, as it was written; "" without slots.
      spans: the values in the text.
    """

    text: str
    label: str
    marked: str = ""
    spans: tuple[SlotSpan, ...] = ()


class ParseError(ValueError):
    """A line that cannot be read, with the reason."""


class LineFormat(Protocol):
    """The lines of a method."""

    document: PromptDocument
    labels: Mapping[str, str]

    @property
    def stop(self) -> tuple[str, ...]:
        """The texts that end a line where no grammar does."""

    def prompt(self, examples: Sequence[Seed], label: str) -> str:
        """Returns what stands before the text that is written."""

    def pattern(self, label: str, min_chars: int, max_chars: int) -> str:
        """Returns the expression, in the syntax of Rust, of what may follow behind the prompt
        without the spaces that end it.
        """

    def longest(self, max_chars: int) -> int:
        """Returns the most bytes of what follows the pattern."""

    def parse(self, raw: str, label: str, is_whole: bool) -> Parsed:
        """Reads what a model wrote. Raises ParseError.

        Args:
          raw: behind the prompt.
          label: the key that was asked for; "" if the model chose it.
          is_whole: whether the model ended the line itself.
        """

    def judged(self, line: Parsed, examples: Sequence[Seed]) -> dict[str, tuple[str, str]]:
        """Returns, for each key of a label, a prompt and the answer behind it: their
        log-probabilities tell how well the label goes with the text.
        """


@dataclasses.dataclass(frozen=True)
class LabelBehind:
    """A document with choices: a text, and its label behind it."""

    document: PromptDocument
    labels: Mapping[str, str]

    def __post_init__(self):
        document = self.document
        if not document.shares_choices:
            raise ConfigError(
                f"{document.name}: HyperMix needs a prompt whose choices are the same for all texts"
            )
        _check_slots(document, "without a particle")
        if not self._tail.strip():
            raise ConfigError(
                f"{document.name}: nothing stands between a text and its label, so that a line"
                " cannot be read; write a sign there, such as {text} ({label})"
            )
        texts = [self._words(key) for key in document.choices]
        if len(set(texts)) < len(texts):
            raise ConfigError(f"{document.name}: two choices have the same text")

    @property
    def text_field(self) -> str:
        """The slot of the text."""
        return self.document.input.fields[0]

    @property
    def _tail(self) -> str:
        """The literal text between a text and its label."""
        return _around(self.document.input)[1] + _around(self.document.answer)[0]

    @property
    def _close(self) -> str:
        """The literal text behind a label, which tells apart labels that begin alike."""
        return _around(self.document.answer)[1] or _END

    def _words(self, key: str) -> str:
        return self.document.choices[key].text({})

    @property
    def stop(self) -> tuple[str, ...]:
        """See `LineFormat`."""
        return () if _END in self._tail else (_END,)

    def prompt(self, examples: Sequence[Seed], label: str) -> str:
        """See `LineFormat`."""
        text = self._rendered("", examples)
        return text.removesuffix(_around(self.document.input)[1])

    def _rendered(self, text: str, examples: Sequence[Seed]) -> str:
        field, answer = self.text_field, self.document.answer_field
        shots = [{field: seed.text, answer: seed.label} for seed in examples]
        return render(self.document, {field: text}, shots).text

    def pattern(self, label: str, min_chars: int, max_chars: int) -> str:
        """See `LineFormat`. A text does not hold the sign that the label begins behind, so that a
        label ends a line.
        """
        spaces = _spaces(_around(self.document.input)[0])
        sign = self._tail.strip()[0]
        words = "|".join(_escaped(self._words(key)) for key in self.document.choices)
        text = _text_pattern("" if sign.isalnum() else sign, min_chars, max_chars)
        return f"{spaces}{text}{_escaped(self._tail)}({words}){_escaped(self._close)}"

    def longest(self, max_chars: int) -> int:
        """See `LineFormat`."""
        words = max(len(self._words(key).encode()) for key in self.document.choices)
        around = f"{_spaces(_around(self.document.input)[0])}{self._tail}{self._close}"
        return _BYTES * max_chars + words + len(around.encode())

    def parse(self, raw: str, label: str, is_whole: bool) -> Parsed:
        """See `LineFormat`. The last label of the line counts, as in the paper."""
        keys = {self._words(key): key for key in self.document.choices}
        words = "|".join(re.escape(text) for text in sorted(keys, key=len, reverse=True))
        ends = r"[^\S\n]*(?:\n|$)" if is_whole else r"[^\S\n]*\n"
        close = ends if self._close == _END else re.escape(self._close)
        tail = rf"\s*{re.escape(self._tail.lstrip())}"
        match = re.match(rf"([^\n]+){tail}({words}){close}", raw)
        if match is None or not match[1].strip():
            raise ParseError("there is no text with a label behind it")
        if self._tail.strip() in match[1]:
            raise ParseError("a label stands within the text")
        return Parsed(" ".join(match[1].split()), keys[match[2]])

    def judged(self, line: Parsed, examples: Sequence[Seed]) -> dict[str, tuple[str, str]]:
        """See `LineFormat`: the whole label, with what closes it, behind the text."""
        prompt = self._rendered(line.text, examples)
        answers = answer_texts(self.document, {self.text_field: line.text})
        close = "" if _around(self.document.answer)[1] else _END
        return {key: (prompt, text + close) for key, text in answers.items()}


@dataclasses.dataclass(frozen=True)
class LabelBefore:
    """A document without choices: the name of a class, and a text of it.

    Attributes:
      labels: key -> the name of the class.
      slot_types: key -> the types of the values that texts of the class mark; None: no marks.
    """

    document: PromptDocument
    labels: Mapping[str, str]
    slot_types: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self):
        document = self.document
        if document.choices:
            raise ConfigError(
                f"{document.name} has choices; this method needs a prompt whose answer is the text"
            )
        _check_slots(document)

    def prompt(self, examples: Sequence[Seed], label: str) -> str:
        """See `LineFormat`."""
        return self._rendered(label, examples) + _around(self.document.answer)[0]

    def _rendered(self, label: str, examples: Sequence[Seed]) -> str:
        field, answer = self.document.input.fields[0], self.document.answer_field
        name = lambda key: self.labels.get(key, key)
        shots = [{field: name(seed.label), answer: seed.text} for seed in examples]
        return render(self.document, {field: name(label)}, shots).text

    def pattern(self, label: str, min_chars: int, max_chars: int) -> str:
        """See `LineFormat`. Behind the text comes the end of the line."""
        spaces, close = _spaces(_around(self.document.answer)[0]), _escaped(self._close)
        if self.slot_types is None:
            return f"{spaces}{_text_pattern('', min_chars, max_chars)}{close}"
        letter = _characters(SIGNS, blank=False)
        plain = f"{_characters(SIGNS)}{{0,{max_chars}}}"
        value = rf"{letter}({_characters(SIGNS)}{{0,{MOST_CHARS - 2}}}{letter})?"
        kinds = "|".join(_escaped(kind) for kind in self.slot_types[label])
        if not kinds:
            return f"{spaces}{letter}{plain}{close}"
        mark = rf"\[{value}\]\(({kinds})\)"
        return f"{spaces}({letter}|{mark}){plain}({mark}{plain}){{0,{MOST_MARKS}}}{close}"

    def longest(self, max_chars: int) -> int:
        """See `LineFormat`."""
        around = len((_spaces(_around(self.document.answer)[0]) + self._close).encode())
        if self.slot_types is None:
            return _BYTES * max_chars + around
        kinds = [kind for kinds in self.slot_types.values() for kind in kinds]
        mark = _BYTES * MOST_CHARS + max((len(kind.encode()) for kind in kinds), default=0) + 4
        runs = _BYTES * ((MOST_MARKS + 1) * max_chars + 1)
        return runs + (MOST_MARKS + 1) * mark + around

    @property
    def _close(self) -> str:
        return _around(self.document.answer)[1] or _END

    @property
    def stop(self) -> tuple[str, ...]:
        """See `LineFormat`."""
        return (self._close,)

    def parse(self, raw: str, label: str, is_whole: bool) -> Parsed:
        """See `LineFormat`."""
        text, close, _ = raw.partition(self._close)
        if not close and not is_whole:
            raise ParseError("the line has no end")
        text = text.strip()
        if not text or len(text.splitlines()) > 1:
            raise ParseError("there is no text of one line")
        text = " ".join(text.split())
        if self.slot_types is None:
            return Parsed(text, label)
        try:
            plain, spans = read_marks(text)
        except MarkError as error:
            raise ParseError(str(error)) from error
        if unknown := [span.type for span in spans if span.type not in self.slot_types[label]]:
            raise ParseError(f"{unknown[0]} is no type of this class")
        return Parsed(plain, label, text, spans)

    def judged(self, line: Parsed, examples: Sequence[Seed]) -> dict[str, tuple[str, str]]:
        """See `LineFormat`: the text behind the name of each class (the noisy channel of Min et al.
        2022).
        """
        answer = {self.document.answer_field: line.marked or line.text}
        text = self.document.answer.text(answer)
        return {key: (self._rendered(key, examples), text) for key in self.labels}


def types_of(seeds: Sequence[Seed], labels: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Returns key of a label -> the types of the values that its seeds mark; of a label without
    seeds those of all.

    Raises:
      DataError: names the seed whose marks cannot be read.
    """
    kinds: dict[str, dict[str, None]] = {}
    for seed in seeds:
        try:
            _, spans = read_marks(seed.text)
        except MarkError as error:
            raise DataError(f"{seed.place or seed.id}: {seed.text!r}: {error}") from error
        kinds.setdefault(seed.label, {}).update(dict.fromkeys(span.type for span in spans))
    every = dict.fromkeys(kind for own in kinds.values() for kind in own)
    return {label: tuple(kinds.get(label, every)) for label in labels}


def _around(template) -> tuple[str, str]:
    """Returns the literal texts before and behind the only slot of a template."""
    place = next(i for i, part in enumerate(template.parts) if isinstance(part, Slot))
    before, behind = template.parts[:place], template.parts[place + 1 :]
    return "".join(before), "".join(behind)


def _check_slots(document: PromptDocument, of_input: str = "") -> None:
    """Raises ConfigError unless input and answer have one slot each, and the directive none. A
    particle would depend on what the model writes.
    """
    slots = {
        name: [part for part in getattr(document, name).parts if isinstance(part, Slot)]
        for name in ("directive", "input", "answer")
    }
    has_particle = any(slot.particle for slot in slots["answer"] + slots["input"] * bool(of_input))
    if [len(part) for part in slots.values()] != [0, 1, 1] or has_particle:
        raise ConfigError(
            f"{document.name}: the input needs one slot{' ' * bool(of_input)}{of_input}, the answer"
            " one without a particle, and the directive none; write another prompt"
        )


def _spaces(literal: str) -> str:
    """Returns the spaces that end a literal text: the model writes them with what follows."""
    return literal[len(literal.rstrip(" ")) :]


def _characters(without: str, blank: bool = True) -> str:
    """The set of the characters of a text, in a syntax that the libraries of servers know, too."""
    return rf"[^{_escaped(without)}{'' if blank else ' '}\x00-\x1f\x7f-\x9f\u2028\u2029]"


def _text_pattern(without: str, min_chars: int, max_chars: int) -> str:
    letter, least, most = _characters(without, blank=False), max(1, min_chars), max_chars
    if most == 1:
        return letter
    return f"{letter}{_characters(without)}{{{max(0, least - 1)},{most - 1}}}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
