"""Writes prompts and warnings as the command `hclx prompt` prints them: as a table or as JSON."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from hclx.errors import ConfigError, DataError, shown
from hclx.prompts.document import PromptDocument, load_prompt
from hclx.prompts.lint import Finding
from hclx.prompts.render import Span, answer_texts, render
from hclx.prompts.soft_slots import SOFT, SoftPrompt, soft_prompt
from hclx.prompts.tokens import encode_answers, encode_prompt, span_of
from hclx.text import Tokenizer
from hclx.text.documents import composed


def documents_of(paths: Sequence[str]) -> dict[str, PromptDocument]:
    """Returns path -> document of files, and of all files *.json below folders, sorted.

    Raises:
      DataError: a file is no prompt document, or a folder has none.
    """
    documents = {}
    for path in paths:
        files = [path]
        if Path(path).is_dir():
            files = sorted(map(str, Path(path).rglob("*.json")))
            if not files:
                raise DataError(f"{path} has no prompt documents, which are files *.json")
        documents |= {file: load_prompt(file) for file in files}
    return documents


def fields_of(document: PromptDocument, settings: Sequence[str]) -> dict[str, str]:
    """Returns the fields of an item from texts NAME=VALUE.

    Raises:
      ConfigError: a text is not of that form, or the document has no such field.
    """
    fields = {}
    for setting in settings:
        name, equals, value = composed(setting).partition("=")
        if not equals or name not in document.input_fields:
            raise ConfigError(
                f"--field={shown(setting)}: give NAME=VALUE; the names of {document.name!r} are"
                f" {', '.join(document.input_fields) or 'none'}"
            )
        fields[name] = value
    return fields


def rendering(
    document: PromptDocument,
    fields: Mapping[str, str],
    tokenizer: Tokenizer | None,
    as_json: bool,
    slots: Sequence[int] = (),
) -> str:
    """Returns the prompt of an item: its text, its tokens, or without a tokenizer its stretches,
    with the part that each begins in, and the answers with their tokens.

    Args:
      document: the prompt.
      fields: of the item; one that it lacks has its own name as its value.
      tokenizer: that of the model, or None.
      as_json: whether to return a JSON object in place of a table.
      slots: the ids of soft slots, which need a tokenizer.
    Raises:
      ConfigError: as `hclx.prompts.soft_prompt`.
    """
    fields = {name: name for name in document.input_fields} | dict(fields)
    fields |= {SOFT: ""} if slots else {}
    rendered = render(document, fields)
    answers = answer_texts(document, fields)
    spans = [vars(span) for span in rendered.spans]
    record = {"text": rendered.text, "spans": spans, "answers": answers}
    if tokenizer is not None:
        prompt = SoftPrompt(list(tokenizer.begin_ids), *(rendered.text,) * 2, (rendered,), ((),))
        prompt = soft_prompt(document, fields, slots, tokenizer) if slots else prompt
        record |= _tokens(prompt, answers, tokenizer)
    if as_json:
        return json.dumps(record, ensure_ascii=False)
    lines = [rendered.text, ""]
    if tokenizer is None:
        for span in rendered.spans:
            text = rendered.text[span.start : span.end]
            lines.append(f"{span.start:>6} {_padded(_part(span), 16)} {text!r}")
    for number, token in enumerate(record.get("tokens", ())):
        text = _padded(_quoted(token["text"]), 16)
        lines.append(f"{number:>6} {token['id']:>7} {text} {token['part']}")
    for key, text in answers.items():
        ids = record.get("answer_tokens", {}).get(key, ())
        tokens = " ".join(f"{token['id']} {_quoted(token['text'])}" for token in ids)
        lines.append(f"answer {key}: {text!r}{' = ' + tokens if tokens else ''}")
    return "\n".join(lines)


def _tokens(prompt: SoftPrompt, answers: Mapping[str, str], tokenizer: Tokenizer) -> dict:
    tokens, begin = [], tokenizer.begin_ids
    for stretch, own in zip(prompt.stretches, prompt.slots, strict=True):
        tokens += [{"id": token, "text": "", "part": f"{{{SOFT}}}"} for token in own]
        encoded, begin = encode_prompt(stretch, tokenizer, begin), ()
        for number, token in enumerate(encoded.ids):
            part = _part(span_of(stretch, encoded, number))
            tokens.append({**_token(token, tokenizer), "part": part})
    record = {"tokens": tokens}
    if answers and all(answers.values()):
        encoded = encode_answers(prompt.rest, answers, tokenizer, prompt.head)
        record["answer_tokens"] = {
            key: [_token(token, tokenizer) for token in ids] for key, ids in encoded.answers.items()
        }
    return record


def _token(token: int, tokenizer: Tokenizer) -> dict:
    """Returns the id of a token and its text, in which bytes of no whole character are escaped."""
    text = tokenizer.decode_bytes([token]).decode("utf-8", "backslashreplace")
    return {"id": token, "text": text}


def _quoted(text: str) -> str:
    return repr(text).replace("\\\\x", "\\x")


def _padded(text: str, width: int) -> str:
    """Returns a text with spaces behind it up to a width; a Hangul syllable is two wide."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return text + " " * (width - wide - len(text))


def _part(span: Span | None) -> str:
    if span is None:
        return "begin"
    example = "" if span.example is None else f" {span.example}"
    return f"{span.part}{example}{f' {{{span.field}}}' if span.field else ''}"


def warnings(findings: Mapping[str, Sequence[Finding]], has_tokens: bool, as_json: bool) -> str:
    """Returns path -> warnings as lines, or as a JSON list."""
    if as_json:
        records = [
            {"file": path, **vars(finding)} for path, items in findings.items() for finding in items
        ]
        return json.dumps(records, ensure_ascii=False)
    lines = []
    for path, items in findings.items():
        lines += [f"{path}: {finding.code}: {finding.message}" for finding in items]
        lines += [] if items else [f"{path}: no warnings"]
    if not has_tokens:
        lines.append("(tokens were not looked at: give --model_dir or --tokenizer_dir)")
    return "\n".join(lines)
