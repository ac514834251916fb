"""Warns of known traps in a prompt document, as a model would meet them."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping

from hclx.prompts.document import PromptDocument
from hclx.prompts.render import answer_texts, render
from hclx.prompts.tokens import encode_answers
from hclx.text import Tokenizer


@dataclasses.dataclass(frozen=True)
class Finding:
    """A trap in a prompt: a `code` that stays the same, and a `message` that says what to do."""

    code: str
    message: str


def lint(
    document: PromptDocument,
    tokenizer: Tokenizer | None = None,
    fields: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Looks for traps.

    Args:
      document: the prompt.
      tokenizer: that of the model; None: only the text is looked at.
      fields: of an item that is tried; None: each field has its own name as its value.
    """
    fields = {name: name for name in document.input_fields} | dict(fields or {})
    findings = [*_input(document), *_examples(document)]
    if document.choices:
        findings += _choices(document, fields)
        if tokenizer is not None:
            findings += _choice_tokens(document, fields, tokenizer)
    else:
        findings += _generation(document)
    return findings


def _input(document: PromptDocument) -> Iterator[Finding]:
    source = document.input.source
    if source != source.rstrip(" \t"):
        yield Finding(
            "space-before-answer",
            f"input ends with a space: {source[-12:]!r}. Tokens of words begin with their space, so"
            " that a model rarely saw a word behind a space; move the space to the beginning of"
            " answer",
        )
    if not source.endswith(tuple("\n :：=>→(「『\"'")) and not document.answer.source[:1].isspace():
        yield Finding(
            "answer-joined",
            f"nothing separates the input, which ends with {source[-12:]!r}, from the answer; end"
            " the input with a mark, or begin answer with a space",
        )
    if not document.separator:
        yield Finding("no-separator", "separator is empty: an example runs into the next")


def _examples(document: PromptDocument) -> Iterator[Finding]:
    if not (document.choices and document.examples):
        return
    counts = Counter(example[document.answer_field] for example in document.examples)
    numbers = [counts[key] for key in document.choices]
    # Choices of an item, such as two sentences, have no label that could be frequent.
    own = any(template.fields for template in document.choices.values())
    if not own and max(numbers) > 1 and max(numbers) > 2 * min(numbers):
        counted = ", ".join(f"{key} {counts[key]}" for key in document.choices)
        yield Finding(
            "unbalanced-examples",
            f"the examples have their answers unequally often ({counted}), which models prefer"
            " accordingly (majority-label bias, Zhao et al. 2021)",
        )


def _choices(document: PromptDocument, fields: Mapping[str, str]) -> Iterator[Finding]:
    texts = answer_texts(document, fields)
    for key, text in texts.items():
        if not text.strip():
            yield Finding("empty-choice", f"the choice {key} is empty; give it a text")
        for other, longer in texts.items():
            if key != other and longer.startswith(text) and text != longer:
                yield Finding(
                    "choice-begins-another",
                    f"the answer {text!r} begins {longer!r}, and so never has the smaller"
                    " probability in total; end answer with a mark, such as a newline",
                )
    if len(set(texts.values())) < len(texts):
        yield Finding("equal-choices", "two choices have the same text")


def _choice_tokens(
    document: PromptDocument, fields: Mapping[str, str], tokenizer: Tokenizer
) -> Iterator[Finding]:
    texts = answer_texts(document, fields)
    if not all(texts.values()):
        return
    encoded = encode_answers(render(document, fields, ()).text, texts, tokenizer)
    if encoded.straddles:
        yield Finding(
            "straddling-token",
            f"{encoded.straddles} of {len(texts)} answers have a token that begins in the input, so"
            " that the model reads other tokens before them than before the rest",
        )
    # With choices of its own, each item has other tokens.
    if any(template.fields for template in document.choices.values()):
        return
    firsts = Counter(ids[0] for ids in encoded.answers.values())
    token, count = firsts.most_common(1)[0]
    if count > 1 and all(len(ids) > 1 for ids in encoded.answers.values()):
        yield Finding(
            "shared-first-token",
            f"{count} answers begin with the same token ({tokenizer.decode([token])!r}); choose"
            " words that differ from their first token on",
        )
    lengths = {key: len(ids) for key, ids in encoded.answers.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{key} {length}" for key, length in lengths.items())
        yield Finding(
            "unequal-lengths",
            f"the answers have different numbers of tokens ({counted}): by total probability the"
            " shorter ones are preferred; choose words of one length, another score, or"
            " calibration",
        )


def _generation(document: PromptDocument) -> Iterator[Finding]:
    if not document.stop and not document.grammar:
        yield Finding(
            "no-stop",
            "no text ends the answer: the model goes on to invent further examples; add the"
            f" beginning of the separator, {document.separator!r}, to stop",
        )
        return
    for number, example in enumerate(document.examples):
        answer = document.answer.text(example).strip()
        for stop in document.stop:
            if stop in answer:
                yield Finding(
                    "stop-in-answer",
                    f"the answer of examples[{number}] has the stop text {stop!r}, which would end"
                    " such an answer early",
                )
    if document.stop and not any(stop in document.separator for stop in document.stop):
        yield Finding(
            "stop-not-in-separator",
            f"no stop text is in the separator {document.separator!r}, which the model writes after"
            " its answer as it saw it after each example",
        )
