"""How a prompt looks before it is run: its text, the part that each stretch comes from, its tokens,
and warnings.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hclx.errors import HclxError
from hclx.evaluate.shots import keep
from hclx.prompts import Rendering, encode_prompt, lint, render
from hclx.prompts.read_json import cleaned
from hclx.serve.api_error import ApiError, error_of
from hclx.serve.caller import Caller
from hclx.serve.service import Service
from hclx.studio.running.item_plan import MESSAGE, ItemPlan, plan_item
from hclx.studio.running.run_plan import RunPlan, plan_run, read_content


async def preview_prompt(
    service: Service, caller: Caller, raw: object, item: Mapping[str, str]
) -> dict[str, Any]:
    """Returns what a run of a content would read for an item. Nothing runs.

    Args:
      service: the parts of the server.
      caller: who asks.
      raw: the content, which may be wrong: `error` says where.
      item: its fields; one that is not there holds its own name.
    Returns:
      `text`; `spans` that cover it in order, each with `start`, `end`, `part`, `example` and
      `field` as `hclx.prompts.Span` has them, none for a chat; `tokens` of the text; `room`, the
      tokens that are left behind it for an answer; `warnings`, each with `code` and `message`; and
      `error`, None or an object with `code`, `message` and `field`.
    """
    blank = _shown(Rendering("", ()), 0, service.backend.max_length)
    try:
        run = await plan_run(service, caller, read_content(raw))
    except ApiError as error:
        return {**blank, "error": _facts(error)}
    names = (MESSAGE,) if run.is_chat else run.content.document.input_fields
    fields = {name: name for name in names} | dict(item)
    try:
        fields = cleaned(fields, "item")
        plan = await plan_item(run, 0, fields)
        return await asyncio.to_thread(_planned, run, plan, fields)
    except ApiError as error:
        is_long = error.code == "context_length_exceeded" and not run.is_chat
        shown = await asyncio.to_thread(_too_long, run, fields) if is_long else blank
        return {**shown, "error": _facts(error)}
    except HclxError as error:
        return {**blank, "error": _facts(error_of(error))}


def _limit(run: RunPlan) -> int:
    """The most tokens of prompt and answer."""
    budget = None if run.is_chat else run.content.document.max_tokens
    return min(run.reader.max_length, budget or run.reader.max_length)


def _planned(run: RunPlan, plan: ItemPlan, fields: Mapping[str, str]) -> dict[str, Any]:
    """A prompt that can be run."""
    room = _limit(run) - len(plan.ids)
    if run.is_chat:
        return _shown(Rendering(plan.text, ()), len(plan.ids), room)
    document = run.content.document
    n_kept = len(document.examples) - plan.n_dropped
    first = plan.n_dropped if document.drop == "first" else 0
    rendering = render(document, fields, keep(document.examples, n_kept, document.drop))
    findings = lint(document, run.reader.tokenizer, fields)
    warnings = [{"code": finding.code, "message": finding.message} for finding in findings]
    if plan.n_dropped:
        text = f"{plan.n_dropped} of {len(document.examples)} examples have no room"
        text += f" beside the answer, and the {document.drop} of them are left out; shorten them"
        warnings.insert(0, {"code": "dropped-examples", "message": text})
    return _shown(rendering, len(plan.ids), room, first, warnings)


def _too_long(run: RunPlan, fields: Mapping[str, str]) -> dict[str, Any]:
    """A prompt that has no room even without its examples, as it would be without them."""
    rendering = render(run.content.document, fields, ())
    n_tokens = len(encode_prompt(rendering, run.reader.tokenizer, run.reader.begin).ids)
    return _shown(rendering, n_tokens, _limit(run) - n_tokens)


def _shown(
    rendering: Rendering,
    n_tokens: int,
    room: int,
    first: int = 0,
    warnings: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A preview without an error.

    Args:
      rendering: of the prompt.
      n_tokens: that it has.
      room: the tokens that are left.
      first: the number that its first example has in the document.
      warnings: as the preview has them.
    """
    spans = [{**vars(span), "example": _moved(span.example, first)} for span in rendering.spans]
    facts = {"text": rendering.text, "spans": spans, "tokens": n_tokens, "room": room}
    return {**facts, "warnings": list(warnings), "error": None}


def _moved(example: int | None, first: int) -> int | None:
    return None if example is None else example + first


def _facts(error: ApiError) -> dict[str, str]:
    """An error, with the place of what is wrong as the content has it."""
    field = (error.param or "").removeprefix("content").removeprefix(".")
    return {"code": error.code, "message": error.message, "field": field}
