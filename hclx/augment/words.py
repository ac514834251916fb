"""Prompts that ship, and how they get the words of a task: the names of its texts and labels."""

import json
from collections.abc import Mapping
from importlib import resources

from hclx.errors import ConfigError, shown
from hclx.prompts import (
    PromptDocument,
    Template,
    parse_template,
    prompt_from_json,
    with_particle,
)

METHODS = ("hypermix", "transfer", "slots")
# Name -> the method that it is for.
BUILT_IN = {"hypermix": "hypermix", "gpt3mix": "hypermix", "transfer": "transfer", "slots": "slots"}


def built_in_prompt(
    name: str, text_type: str, label_type: str, labels: Mapping[str, str]
) -> PromptDocument:
    """Returns a prompt that ships, with the words of a task.

    Args:
      name: of `BUILT_IN`.
      text_type: a text is called so, such as "영화 평".
      label_type: a label is called so, such as "감정".
      labels: key -> the words of each label, such as {"1": "긍정"}.
    Raises:
      ConfigError: a name or word is missing.
    """
    if name not in BUILT_IN:
        raise ConfigError(f"template={shown(name)}: give {', '.join(BUILT_IN)}, or a file")
    if not (text_type.strip() and label_type.strip()):
        raise ConfigError(
            f"the prompt {name!r} needs the names of texts and labels: give --text_type and"
            " --label_type, such as --text_type='영화 평' --label_type=감정"
        )
    raw = json.loads(
        (resources.files("hclx.augment") / "prompts" / f"{name}.json").read_text(encoding="utf-8")
    )
    quoted = [f"'{label}'" for label in labels.values()]
    words = {
        "text_type": text_type,
        "label_type": label_type,
        "labels": ", ".join(quoted),
        "labels_or": " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]])),
    }
    # A slot with a capital takes a value with one, as the template of the paper does.
    words |= {word.capitalize(): _capital(text) for word, text in words.items()}
    for part in ("directive", "input", "answer"):
        raw[part] = filled(parse_template(raw[part]), words)
    if BUILT_IN[name] == "hypermix":
        is_capital = raw["answer_field"][0].isupper()
        texts = {key: _capital(text) if is_capital else text for key, text in labels.items()}
        raw["choices"] = {key: _literal(text) for key, text in texts.items()}
    return prompt_from_json(raw)


def filled(template: Template, words: Mapping[str, str]) -> str:
    """Returns the source of a template some of whose slots are filled; others stay slots."""
    return "".join(
        _literal(part)
        if isinstance(part, str)
        else _slot(part.field, part.particle)
        if part.field not in words
        else _literal(
            with_particle(words[part.field], part.particle) if part.particle else words[part.field]
        )
        for part in template.parts
    )


def _slot(field: str, particle: str) -> str:
    return f"{{{field}:{particle}}}" if particle else f"{{{field}}}"


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
