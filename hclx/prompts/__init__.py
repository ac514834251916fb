"""Prompts as data: the document, its rendering to text and tokens, and warnings of known traps."""

from hclx.prompts.document import (
    PromptDocument,
    load_prompt,
    prompt_from_json,
    prompt_hash,
    prompt_schema,
    prompt_to_json,
)
from hclx.prompts.lint import Finding, lint
from hclx.prompts.particles import with_particle
from hclx.prompts.render import Rendering, Span, answer_texts, render
from hclx.prompts.soft_slots import SOFT, SoftPrompt, soft_places, soft_prompt
from hclx.prompts.template import Slot, Template, parse_template
from hclx.prompts.tokens import AnswerTokens, PromptTokens, encode_answers, encode_prompt

__all__ = [
    "AnswerTokens",
    "Finding",
    "PromptDocument",
    "PromptTokens",
    "Rendering",
    "SOFT",
    "Slot",
    "SoftPrompt",
    "Span",
    "Template",
    "answer_texts",
    "encode_answers",
    "encode_prompt",
    "lint",
    "load_prompt",
    "parse_template",
    "prompt_from_json",
    "prompt_hash",
    "prompt_schema",
    "prompt_to_json",
    "render",
    "soft_places",
    "soft_prompt",
    "with_particle",
]
