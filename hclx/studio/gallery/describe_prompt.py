"""Makes a prompt of a sentence that says what it is for: plain rules give its outline, and the
model that is served writes the rest, by a prompt of the gallery and a grammar of usable lines.
"""

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller
from hclx.studio.batches.batch_work import Answer
from hclx.studio.content import Content, content_from_json
from hclx.studio.gallery.description_rules import Outline, outline_of
from hclx.studio.gallery.gallery_files import gallery_prompt, load_gallery
from hclx.studio.running.run_prompt import answer_items, error_from
from hclx.studio.studio import Studio
from hclx.text.documents import composed

DESCRIBE_ROUTE = "/studio/api/describe"  # by which usage is counted
_LEAST_EXAMPLES, _MOST_EXAMPLES = 4, 6
_MOST_TOKENS, _ANSWER_TOKENS = 400, 120  # that the model writes here, and in answers
_TITLE, _DIRECTIVE = "제목: ", "지시: "
_EXAMPLE = re.compile(r"예시 [0-9]+: ([^=]+?) => ([^=]+)")
_REPEATED = re.compile(r"(.)\1{4}")
_DEFAULT_LABELS = ("해당", "해당 없음")
_ENOUGH = 3  # examples, without which those of the gallery stand behind them
_SOURCE = "설명 한 문장에서 만든 초안. 모델이 쓴 예시: {}개"
Example = tuple[str, str]  # what is read, and its answer


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A prompt that was made of a sentence.

    Attributes:
      title: what it may be called.
      content: an object of "hclx.studio/1" that can be run.
      is_generated: whether the model has written a part of it.
      n_generated: its first examples, which the model has written; the others are of the gallery.
      raw: all that the model has written.
      warnings: each `code` and `message`: what the model has not written well enough to be used.
    """

    title: str
    content: Mapping[str, Any]
    is_generated: bool
    n_generated: int
    raw: str
    warnings: Sequence[Mapping[str, str]]


async def describe(
    studio: Studio, caller: Caller, text: str, model: str = "", answer: Answer = answer_items
) -> Proposal:
    """Makes a prompt of a sentence in Korean. It can always be run; what the model writes unusably,
    or not at all, is left to rules, and the proposal says so.

    Args:
      studio: its service has the model.
      caller: who asks.
      text: the sentence.
      model: the name of the model that writes, and that answers later; "": the first.
      answer: as `answer_items`.
    Raises:
      ApiError: the caller may not use the model, there is none of this name, or the quota or the
        server does not allow it now.
    """
    outline, longest = outline_of(text), studio.service.backend.max_length
    raw, warnings = "", []
    try:
        raw = await _written(studio, caller, outline, text, (model, longest), answer)
    except ApiError as error:
        if error.status != 400:
            raise
        warnings = [_warning("not_written", f"the model could not write it: {error.message}")]
    draft = _read(outline, raw, composed(text))
    if not warnings and len(draft.examples) < 2:
        text_of = "the model has written too few usable examples; write some of your own"
        warnings.append(_warning("few_examples", text_of))
    labels = outline.labels or draft.labels
    if outline.chooses and not labels:
        text_of = "no classes are named; name them, as in '긍정과 부정으로 나눠 줘'"
        warnings.append(_warning("no_labels", text_of))
    document = _document(outline, draft, composed(text), longest)
    content = {"schema": "hclx.studio/1", "document": document, "view": "blocks", "n": 1}
    content |= {"model": model} if model else {}
    content_from_json(content, needs_document=True)
    is_generated = draft != _Draft(outline.title, outline.directive)
    return Proposal(draft.title, content, is_generated, len(draft.examples), raw, warnings)


async def _written(
    studio: Studio,
    caller: Caller,
    outline: Outline,
    text: str,
    reading: tuple[str, int],
    answer: Answer,
) -> str:
    """Returns what the model writes by the prompt of the gallery, in lines of this outline."""
    (model, longest), own = reading, gallery_prompt("describe").content
    most = max(1, min(_MOST_TOKENS, longest // 2))
    sampling = {**own["document"]["sampling"], "max_tokens": most}
    document = {**own["document"], "sampling": sampling, "grammar": {"regex": _lines_of(outline)}}
    content: Content = content_from_json({**own, "document": document, "model": model}, True)
    item = {"설명": " ".join(text.split())}
    (result,) = await answer(studio, caller, content, [item], route=DESCRIBE_ROUTE)
    if result["error"]:
        raise error_from(result["error"])
    return composed(result["text"])


def _lines_of(outline: Outline) -> str:
    """Returns the expression of what the model may write."""
    outputs = [re.escape(label) for label in _label_order(outline.labels)]
    if not outputs:
        outputs = [f"[^\\n=]{{1,{12 if outline.chooses else 80}}}"] * _LEAST_EXAMPLES
    head = f"제목: [^\\n={{}}]{{2,30}}\\n입력: {re.escape(outline.field)}\\n"
    head += "지시: [^\\n={}]{5,100}\\n"
    examples = (
        f"예시 {number}: [^\\n=]{{2,60}} => {output}\\n"
        for number, output in enumerate(outputs, start=1)
    )
    return head + "".join(examples)


def _label_order(labels: Sequence[str]) -> list[str]:
    """Returns the classes of the examples: each as often, and not sorted."""
    if not labels:
        return []
    n_rounds = max(1, min(-(-_LEAST_EXAMPLES // len(labels)), _MOST_EXAMPLES // len(labels)))
    rounds = (labels if number % 2 == 0 else labels[::-1] for number in range(n_rounds))
    return list(itertools.chain(*rounds))[: max(_MOST_EXAMPLES, len(labels))]


@dataclasses.dataclass(frozen=True)
class _Draft:
    """The usable parts of what the model has written."""

    title: str
    directive: str
    examples: tuple[Example, ...] = ()
    labels: tuple[str, ...] = ()


def _read(outline: Outline, raw: str, description: str) -> _Draft:
    """Reads the lines of the model; those that are cut off or unusable are left out."""
    title, directive, examples = outline.title, outline.directive, {}
    for line in raw.split("\n"):
        body = line.partition(": ")[2].strip(" \"'")
        if line.startswith(_TITLE) and _is_title(body, description):
            title = body
        if line.startswith(_DIRECTIVE) and _is_directive(outline, body, description):
            directive = body
        match = _EXAMPLE.fullmatch(line.strip())
        if match and _is_usable(match[1]) and match[2].strip():
            examples.setdefault(match[1].strip(), match[2].strip())
    labels = outline.labels
    if outline.chooses and not labels:
        labels = tuple(dict.fromkeys(filter(_is_usable, examples.values())))
        labels = labels if 2 <= len(labels) else ()
    kept = examples.items()
    if outline.chooses:
        kept = [pair for pair in kept if pair[1] in labels]
    else:
        kept = [pair for pair in kept if _is_usable(pair[1])]
    return _Draft(title, directive, tuple(kept), () if outline.labels else labels)


def _is_usable(text: str) -> bool:
    """Returns whether a text is one: most of it letters, and no word again and again."""
    letters, words = sum(map(str.isalnum, text)), text.split()
    is_written = letters >= 2 and 2 * letters >= len(text.replace(" ", ""))
    most = max(Counter(words).values(), default=0)
    return is_written and most <= max(1, len(words) // 3) and not _REPEATED.search(text)


def _is_title(text: str, description: str) -> bool:
    """Returns whether a text is no sentence, and has to do with the description."""
    is_name = not text.endswith((".", "다"))
    return is_name and _is_usable(text) and _has_to_do(text, description)


def _is_directive(outline: Outline, text: str, description: str) -> bool:
    """Returns whether a text is a whole sentence that asks for what the outline does."""
    is_whole = re.search(r"[다요라오]\.?$", text) and "예시" not in text
    is_full = all(map(text.__contains__, outline.labels)) and _has_to_do(text, description)
    return bool(is_whole) and is_full and _is_usable(text)


def _has_to_do(text: str, description: str) -> bool:
    """Returns whether two letters of a word are in both."""
    pairs = {word[i : i + 2] for word in text.split() for i in range(len(word) - 1)}
    return any(pair.isalnum() and pair in description for pair in pairs)


def _document(outline: Outline, draft: _Draft, text: str, longest: int) -> dict[str, Any]:
    field, answer = outline.field, outline.answer
    labels = outline.labels or draft.labels or (_DEFAULT_LABELS if outline.chooses else ())
    # No class may be the beginning of another: it would always be the likelier one.
    is_begun = any(a.startswith(b) for a, b in itertools.permutations(labels, 2))
    end = "\n" if is_begun else ""
    written = draft.examples
    examples = written if len(written) >= _ENOUGH else (*written, *_of_gallery(outline))
    source = _SOURCE.format(len(written))
    document = {
        **{"schema": "hclx.prompt/1", "name": draft.title, "description": text},
        **{"source": source, "directive": _escaped(draft.directive) + "\n\n"},
        **{"input": f"{field}: {{{field}}}\n{answer}:", "answer": f" {{{answer}}}{end}"},
        **{"answer_field": answer, "separator": "\n" if is_begun else "\n\n"},
        "examples": [{field: read, answer: result} for read, result in examples],
    }
    if labels:
        return {**document, "choices": {label: _escaped(label) for label in labels}}
    sampling: dict[str, float] = {"max_tokens": max(1, min(_ANSWER_TOKENS, longest // 4))}
    sampling["temperature"] = outline.temperature
    if outline.temperature:
        sampling |= {"top_p": 0.9, "repetition_penalty": 1.1}
    return {**document, "stop": ["\n"], "parser": {"kind": "first_line"}, "sampling": sampling}


def _of_gallery(outline: Outline) -> list[Example]:
    """Returns the examples of a prompt of the gallery that chooses among the same classes, or does
    such a task, if it reads a single text.
    """
    for prompt in load_gallery():
        document = prompt.content["document"]
        is_same = prompt.slug == outline.kin
        if outline.labels:
            is_same = sorted(document.get("choices", ())) == sorted(outline.labels)
        answer = document["answer_field"]
        if is_same and all(len(example) == 2 for example in document["examples"]):
            (field,) = set(document["examples"][0]) - {answer}
            return [(example[field], example[answer]) for example in document["examples"]]
    return []


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _warning(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}
