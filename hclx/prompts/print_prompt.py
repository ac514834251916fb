"""Prints prompts and warnings, as a table or as JSON."""

import json
from collections.abc import Sequence

from hclx.errors import ConfigError
from hclx.prompts.document import PromptDocument
from hclx.prompts.lint import Finding
from hclx.prompts.render import Span, answer_texts, render
from hclx.prompts.tokens import encode_answers, encode_prompt, span_of
from hclx.text import Tokenizer


def fields_of(document: PromptDocument, settings: Sequence[str]) -> dict[str, str]:
    """Returns the fields of an item from texts NAME=VALUE; others hold their own name.

    Raises:
      ConfigError: a text is not of that form, or the document has no such field.
    """
    fields = {name: name for name in document.input_fields}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in fields:
            raise ConfigError(
                f"--field={setting}: give NAME=VALUE, NAME being one of {', '.join(fields)}"
            )
        fields[name] = value
    return fields


def rendering(
    document: PromptDocument, fields: dict[str, str], tokenizer: Tokenizer | None, as_json: bool
) -> str:
    """Returns the prompt of an item: its text, its tokens with the part that each begins in, and
    the tokens of each answer.
    """
    rendered = render(document, fields)
    answers = answer_texts(document, fields)
    record = {"text": rendered.text, "answers": answers}
    if tokenizer is not None:
        record |= _tokens(rendered, answers, tokenizer)
    if as_json:
        return json.dumps(record, ensure_ascii=False)
    lines = [rendered.text, ""]
    lines += [f"{key}: {text!r}" for key, text in answers.items()]
    for number, token in enumerate(record.get("tokens", ())):
        lines.append(f"{number:>6} {token['id']:>7} {token['text']!r:<16} {token['part']}")
    for key, ids in record.get("answer_tokens", {}).items():
        shown = " ".join(f"{token['id']} {token['text']!r}" for token in ids)
        lines.append(f"answer {key}: {shown}")
    return "\n".join(lines)


def _tokens(rendered, answers: dict[str, str], tokenizer: Tokenizer) -> dict:
    tokens = encode_prompt(rendered, tokenizer)
    parts = (_part(span_of(rendered, tokens, number)) for number in range(len(tokens.ids)))
    named = zip(tokens.ids, parts, strict=True)
    record = {"tokens": [{**_token(token, tokenizer), "part": part} for token, part in named]}
    if answers and all(answers.values()):
        encoded = encode_answers(rendered.text, answers, tokenizer)
        record["answer_tokens"] = {
            key: [_token(token, tokenizer) for token in ids] for key, ids in encoded.answers.items()
        }
    return record


def _token(token: int, tokenizer: Tokenizer) -> dict:
    return {"id": token, "text": tokenizer.decode_bytes([token]).decode("utf-8", "replace")}


def _part(span: Span | None) -> str:
    if span is None:
        return "begin"
    example = "" if span.example is None else f" {span.example}"
    return f"{span.part}{example}{f' {{{span.field}}}' if span.field else ''}"


def findings(warnings: Sequence[Finding], has_tokens: bool, as_json: bool) -> str:
    """Returns warnings as lines, or as a JSON list."""
    if as_json:
        return json.dumps([vars(warning) for warning in warnings], ensure_ascii=False)
    lines = [f"{warning.code}: {warning.message}" for warning in warnings] or ["no warnings"]
    if not has_tokens:
        lines.append("(tokens were not looked at: give --model_dir or --tokenizer_dir)")
    return "\n".join(lines)
