"""Warns of known traps in a prompt document, as a model would meet them. docs/prompts.md has a
table of the codes.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hclx.prompts.document import PromptDocument
from hclx.prompts.render import answer_texts, render
from hclx.prompts.tokens import encode_answers, encode_prompt
from hclx.text import Tokenizer

# Behind these an answer stands apart; tabs and spaces have a warning of their own.
_APART = tuple("\n\t :：=>→([{（「『\"'“‘")


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
      fields: of an item that is tried; a field that it lacks has its own name as its value.
    """
    # Choices of an item, such as two sentences, are known with their fields alone.
    own = {name for choice in document.choices.values() for name in choice.fields}
    are_known = own <= set(fields or {})
    fields = {name: name for name in document.input_fields} | dict(fields or {})
    texts = answer_texts(document, fields)
    findings = [*_joints(document, texts), *_examples(document)]
    if document.choices:
        findings += _choices(document, fields, texts, are_known)
        if not own:
            findings += _order(document)
    else:
        findings += _generation(document)
    if tokenizer is not None:
        findings += _prompt_tokens(document, fields, texts, tokenizer)
        if texts and all(texts.values()):
            context = render(document, fields, ()).text
            findings += _answer_tokens(context, texts, tokenizer, has_labels=not own)
    return findings


def _joints(document: PromptDocument, texts: Mapping[str, str]) -> Iterator[Finding]:
    """Looks at the places where two parts of a prompt meet."""
    directive, source = document.directive.source, document.input.source
    if directive and not directive[-1].isspace() and not source[:1].isspace():
        yield Finding(
            "directive-joined",
            f"nothing separates the directive, which ends with {directive[-12:]!r}, from what"
            " follows it; end it with a newline",
        )
    if source != source.rstrip(" \t"):
        yield Finding(
            "space-before-answer",
            f"input ends with a space: {source[-12:]!r}. Tokens of words begin with their space, so"
            " that a model rarely saw a word behind a space; move the space to the beginning of"
            " answer",
        )
    answers = list(texts.values()) or [document.answer.source]
    if source and not source.endswith(_APART) and not all(text[:1].isspace() for text in answers):
        yield Finding(
            "answer-joined",
            f"nothing separates the input, which ends with {source[-12:]!r}, from the answer; end"
            " the input with a mark, or begin answer with a space",
        )
    if not document.separator:
        yield Finding("no-separator", "separator is empty: an example runs into the next")


def _examples(document: PromptDocument) -> Iterator[Finding]:
    separator = document.separator
    for name in document.input.fields if separator else ():
        numbers = [n for n, example in enumerate(document.examples) if separator in example[name]]
        if numbers:
            yield Finding(
                "separator-in-example",
                f"the field {name!r} of {_counted(numbers)} has the separator {separator!r} in it,"
                " so that the end of an example cannot be told; choose another separator",
            )


def _counted(numbers: Sequence[int]) -> str:
    """Returns the names of examples, only the first of them in full."""
    others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
    return f"examples[{numbers[0]}]{others}"


def _order(document: PromptDocument) -> Iterator[Finding]:
    """Looks at the labels of examples: how often each is there, and in which order."""
    labels = [example[document.answer_field] for example in document.examples]
    counts = {key: labels.count(key) for key in document.choices}
    most, least = max(counts.values()), min(counts.values())
    if most > 1 and most > 2 * least:
        counted = ", ".join(f"{key} {count}" for key, count in counts.items())
        yield Finding(
            "unbalanced-examples",
            f"the examples have their answers unequally often ({counted}), which models prefer"
            " accordingly (majority-label bias, Zhao et al. 2021)",
        )
    n_runs = sum(1 for _ in itertools.groupby(labels))
    if n_runs == len(set(labels)) > 1 and len(labels) > n_runs:
        yield Finding(
            "sorted-examples",
            f"the examples are sorted by their answers, and those at the end have {labels[-1]},"
            " which models prefer (recency bias, Zhao et al. 2021); mix them",
        )


def _choices(
    document: PromptDocument, fields: Mapping[str, str], texts: Mapping[str, str], are_known: bool
) -> Iterator[Finding]:
    for key, choice in document.choices.items():
        if not choice.text(fields).strip():
            yield Finding("empty-choice", f"the choice {key} is empty; give it a text")
    for text, longer in itertools.permutations(sorted(set(texts.values())) if are_known else (), 2):
        if longer.startswith(text):
            yield Finding(
                "choice-begins-another",
                f"the answer {text!r} begins {longer!r}, and so never has the smaller probability"
                " in total; end answer with a mark, such as a newline",
            )
    if len(set(texts.values())) < len(texts):
        yield Finding("equal-choices", "two choices have the same text")


def _generation(document: PromptDocument) -> Iterator[Finding]:
    stops, separator = document.stop, document.separator
    if not stops and not document.grammar:
        yield Finding(
            "no-stop",
            "no text ends the answer: the model goes on to invent further examples; add the"
            f" beginning of the separator, {separator!r}, to stop",
        )
        return
    tried = document.examples or [dict.fromkeys(document.answer.fields, "")]
    parted = [_parted(document.answer.fill(example), document.answer_field) for example in tried]
    for stop in stops:
        numbers = [number for number, (answer, _) in enumerate(parted) if stop in answer]
        if numbers:
            place = f" of {_counted(numbers)}" if document.examples else ""
            yield Finding(
                "stop-in-answer",
                f"the answer{place} has the stop text {stop!r} in it, which would end such an"
                " answer early; choose another text",
            )
    # What the model writes after its answer, as it saw it after each example.
    follows = parted[-1][1] + separator + _beginning(document)
    if stops and not any(stop in follows for stop in stops):
        yield Finding(
            "stop-not-in-separator",
            f"no stop text is in what follows the answer of an example, {follows!r}, so that the"
            " model goes on to invent further examples; add the beginning of it to stop",
        )


def _parted(parts: Sequence[tuple[str, str]], slot: str) -> tuple[str, str]:
    """Returns the text of a filled template up to the end of its slot, and the text behind it."""
    end = 1 + next(number for number, (_, field) in enumerate(parts) if field == slot)
    texts = [text for text, _ in parts]
    return "".join(texts[:end]), "".join(texts[end:])


def _beginning(document: PromptDocument) -> str:
    """Returns the text with which each input begins."""
    first = document.input.parts[:1]
    return first[0] if first and isinstance(first[0], str) else ""


def _prompt_tokens(
    document: PromptDocument,
    fields: Mapping[str, str],
    texts: Mapping[str, str],
    tokenizer: Tokenizer,
) -> Iterator[Finding]:
    prompt = render(document, fields)
    lost = set()
    for text in (prompt.text, *texts.values()):
        lost |= set(text) - set(tokenizer.decode(tokenizer.encode(text)))
    if lost - {" "}:  # a tokenizer may have its own space at the beginning
        yield Finding(
            "unknown-character",
            f"the tokenizer has no tokens for {''.join(sorted(lost - {' '}))[:40]!r}, which the"
            " model cannot tell apart; write it in other words",
        )
    longest = max((len(tokenizer.encode(text)) for text in texts.values()), default=0)
    n_tokens = len(encode_prompt(prompt, tokenizer).ids)
    n_answer = longest or document.sampling.get("max_tokens", 0)
    if document.max_tokens is not None and n_tokens + n_answer > document.max_tokens:
        yield Finding(
            "over-budget",
            f"the prompt has {n_tokens} tokens and its answer up to {n_answer}, and budget.tokens"
            f" is {document.max_tokens}: examples are dropped, the {document.drop} of them before"
            " the others; shorten them",
        )


def _answer_tokens(
    context: str, texts: Mapping[str, str], tokenizer: Tokenizer, has_labels: bool
) -> Iterator[Finding]:
    encoded = encode_answers(context, texts, tokenizer)
    if encoded.straddles:
        yield Finding(
            "straddling-token",
            f"{encoded.straddles} of {len(texts)} answers have a token that begins in the input, so"
            " that the model reads other tokens before them than before the rest",
        )
    if not has_labels:  # each item has choices, and so tokens, of its own
        return
    is_space = lambda token: not tokenizer.decode_bytes([token]).strip()
    words = [list(itertools.dropwhile(is_space, ids)) for ids in encoded.answers.values()]
    ((token, count),) = Counter(ids[0] for ids in words if ids).most_common(1) or [(0, 0)]
    if count > 1:
        yield Finding(
            "shared-first-token",
            f"{count} answers begin with the same token ({tokenizer.decode([token])!r}); choose"
            " words that differ from their first token on, or move what they share into the input",
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
