"""An item of a run, as the engine is asked it."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from hclx.errors import HclxError
from hclx.evaluate.item_prompts import ItemPrompt, Reader, item_prompt
from hclx.evaluate.items import Item
from hclx.evaluate.shots import keep, most_that_fit
from hclx.infer import GenerateRequest, ScoreRequest
from hclx.prompts import PromptDocument, render
from hclx.prompts.read_json import cleaned
from hclx.serve.api_error import ApiError, error_of, invalid
from hclx.serve.chat_tools import encode_chat
from hclx.serve.openai.openai_fields import with_seeds
from hclx.studio.running.run_plan import RunPlan

MESSAGE = "message"  # the field of an item that goes on with a chat


@dataclasses.dataclass(frozen=True)
class ItemPlan:
    """An item.

    Attributes:
      text: that the model reads.
      ids: its tokens.
      n_dropped: examples that have no room.
      seed: of its first candidate; the others count on from it.
      requests: one for each candidate.
      scores: key of a choice -> what is scored.
      prompt: of the document; None: it is a chat.
    """

    text: str
    ids: tuple[int, ...]
    n_dropped: int
    seed: int
    requests: Sequence[GenerateRequest] = ()
    scores: Mapping[str, ScoreRequest] = dataclasses.field(default_factory=dict)
    prompt: ItemPrompt | None = None

    @property
    def cost(self) -> int:
        """The tokens that it may take."""
        if self.scores:
            return sum(map(score_size, self.scores.values()))
        return len(self.ids) + sum(request.sampling.max_tokens for request in self.requests)


def score_size(request: ScoreRequest) -> int:
    """Returns the number of tokens of what is scored, and of what is before it, both in ids."""
    return len(request.context) + len(request.continuation)


async def plan_item(run: RunPlan, index: int, fields: Mapping[str, str]) -> ItemPlan:
    """Renders and encodes an item.

    Args:
      run: the run.
      index: of the item.
      fields: that fill the slots; of a chat, `message`.
    Raises:
      ApiError: 400, a field is missing, or the model cannot read so much.
    """
    seed = (run.sampling.seed + index * run.content.n) % 2**32
    try:
        fields = cleaned(fields, "items")
        if run.is_chat:
            return await _chat_plan(run, seed, fields)
        return await asyncio.to_thread(_document_plan, run, seed, fields)
    except HclxError as error:
        raise error_of(error) from error


def fitted_prompt(
    document: PromptDocument, fields: Mapping[str, str], reader: Reader, written: str = ""
) -> tuple[ItemPrompt, int]:
    """Returns the prompt of an item with as many of the document's examples as have room, and the
    number of those that have none, as `hclx evaluate` drops them.

    Args:
      document: the prompt document.
      fields: of the item.
      reader: how the model reads.
      written: a text behind the prompt, see `hclx.evaluate.item_prompts.item_prompt`.
    Raises:
      ConfigError: as `item_prompt`.
    """
    item, examples = Item("", fields, ""), document.examples
    prompt_of = lambda count: item_prompt(
        document, item, keep(examples, count, document.drop), reader, written
    )
    fits = lambda count: not prompt_of(count).is_truncated
    count = most_that_fit(len(examples), fits) if examples else 0
    return prompt_of(count), len(examples) - count


def answer_room(document: PromptDocument) -> int:
    """Returns the tokens that are kept free for a written answer."""
    return document.sampling.get("max_tokens", 128)


def _document_plan(run: RunPlan, seed: int, fields: Mapping[str, str]) -> ItemPlan:
    document = run.content.document
    run.service.backend.check_text(render(document, fields, ()).text + run.written, "items")
    prompt, n_dropped = fitted_prompt(document, fields, run.reader, run.written)
    if prompt.is_truncated:
        raise _too_long(run, prompt, fields)
    texts = prompt.text, prompt.context, n_dropped, seed
    if not prompt.answer_ids:
        return ItemPlan(*texts, _requests(run, prompt.context, seed), prompt=prompt)
    shared = {"tenant": run.caller.tenant, "artefact": run.artefact}
    scores = {
        key: ScoreRequest(prompt.context, ids, **shared) for key, ids in prompt.answer_ids.items()
    }
    return ItemPlan(*texts, scores=scores, prompt=prompt)


def _too_long(run: RunPlan, prompt: ItemPrompt, fields: Mapping[str, str]) -> ApiError:
    """The error of an item that has no room even without examples, of which evaluation would leave
    the beginning out.
    """
    document, tokenizer = run.content.document, run.reader.tokenizer
    longest = max(map(len, prompt.answer_ids.values()), default=answer_room(document))
    most = min(run.reader.max_length, document.max_tokens or run.reader.max_length)
    n_tokens = len(run.reader.begin) + len(tokenizer.encode(prompt.text))
    return ApiError(
        400,
        "context_length_exceeded",
        f"the prompt has {n_tokens} tokens without its examples, and with {longest} for an answer"
        f" there is room for {most - longest}; shorten the item, or lower sampling.max_tokens",
        "items",
    )


def _requests(run: RunPlan, ids: Sequence[int], seed: int) -> list[GenerateRequest]:
    sampling = dataclasses.replace(run.sampling, seed=seed)
    request = GenerateRequest(
        tuple(ids),
        sampling,
        grammar=run.grammar,
        tenant=run.caller.tenant,
        deadline=run.service.config.deadline,
        artefact=run.artefact,
    )
    return with_seeds(request, run.content.n)


async def _chat_plan(run: RunPlan, seed: int, fields: Mapping[str, str]) -> ItemPlan:
    chat, backend = run.content.chat, run.service.backend
    if not fields.get(MESSAGE):
        raise invalid(f"the item of a chat has the field {MESSAGE!r}; give it a text", "items")
    messages = [{"role": "system", "content": chat.system}] if chat.system else []
    for turn in chat.turns:
        texts = (("user", turn.user), ("assistant", turn.assistant))
        messages += [{"role": role, "content": text} for role, text in texts if text]
    messages.append({"role": "user", "content": fields[MESSAGE]})
    ids = await encode_chat(backend, messages, None, "the view of blocks", run.written)
    backend.check_length(len(ids), run.sampling.max_tokens, "max_tokens", run.artefact)
    text = await asyncio.to_thread(backend.chat_template.render, messages, True)
    return ItemPlan(text + run.written, tuple(ids), 0, seed, _requests(run, ids, seed))
