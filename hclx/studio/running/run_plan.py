"""A run of a prompt in the Studio, checked once: which model answers, how it reads and writes, and
by which rules its texts leave.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Mapping

from hclx.errors import ConfigError
from hclx.evaluate.answering import grammar_of
from hclx.evaluate.item_prompts import Reader
from hclx.infer import SamplingConfig
from hclx.infer.grammar import Grammar
from hclx.serve.api_error import error_of, invalid
from hclx.serve.caller import Caller
from hclx.serve.openai.openai_chat import ends_of_answers
from hclx.serve.openai.openai_fields import check_logprobs, check_stops
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.service import Service
from hclx.studio.body_checks import content_of
from hclx.studio.content import Content

RUN_ROUTE = "/studio/api/run"


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """A run.

    Attributes:
      service: the parts of the server.
      caller: who asks, whose quota counts.
      content: the prompt, with its document.
      model: the name of the model that answers.
      artefact: that it stands for, see `Backend.artefact_of`.
      reader: how it reads.
      sampling: the settings, with the seed of the first item.
      grammar: that texts follow; None: they are free.
      rules: by which texts leave; None: those of the server.
      written: the beginning of each answer, from where it goes on.
      route: by which usage is counted.
    """

    service: Service
    caller: Caller
    content: Content
    model: str
    artefact: str | None
    reader: Reader
    sampling: SamplingConfig
    grammar: Grammar | None
    rules: OutputRules | None
    written: str
    route: str

    @property
    def is_chat(self) -> bool:
        """Whether the chat of the content is answered, and not its document."""
        return self.content.view == "chat"

    @property
    def is_scored(self) -> bool:
        """Whether the model chooses, and does not write."""
        return bool(self.content.document.choices) and not self.is_chat


def read_content(raw: object) -> Content:
    """Returns a content that can be run. Raises ApiError (400), with the field, if it cannot."""
    return content_of(raw, needs_document=True)


async def plan_run(
    service: Service,
    caller: Caller,
    content: Content,
    seed: int | None = None,
    written: str = "",
    route: str = RUN_ROUTE,
) -> RunPlan:
    """Checks a run.

    Args:
      service: the parts of the server.
      caller: who asks.
      content: with its document.
      seed: of the first item; None: that of the document, or a random one.
      written: see `RunPlan`.
      route: see `RunPlan`.
    Raises:
      ApiError: 403, the caller may not use a model; 404, there is no such model; 400, a setting is
        out of range, or the server cannot do what the content asks for.
    """
    caller.check_scope("inference")
    backend, document = service.backend, content.document
    model = content.model or backend.names_for(caller)[0]
    artefact = backend.artefact_of(model, caller)
    tokenizer = backend.tokenizer
    room = backend.check_length(0, None, "content", artefact)
    is_chat = content.view == "chat"
    if written and document.choices and not is_chat:
        text = "written does not go with choices, which are scored and not written"
        raise invalid(text, "written")
    try:
        grammar = grammar_of(document)
        if grammar is not None:
            await asyncio.to_thread(grammar.check)
    except ConfigError as error:
        raise invalid(str(error), "content.document.grammar") from error
    return RunPlan(
        service=service,
        caller=caller,
        content=content,
        model=model,
        artefact=artefact,
        reader=Reader(tokenizer, room, tuple(tokenizer.begin_ids)),
        sampling=_sampling(service, content, seed, ends_of_answers(tokenizer) if is_chat else ()),
        grammar=grammar,
        rules=_rules(backend.rules, content.block),
        written=backend.as_read(written),
        route=route,
    )


def _sampling(
    service: Service, content: Content, seed: int | None, ends: tuple[int, ...]
) -> SamplingConfig:
    """The settings of the document, by default the most likely token each time, as for `hclx
    evaluate`.
    """
    document = content.document
    check_logprobs(content.logprobs, "content.logprobs", service.config)
    check_stops(document.stop, "content.document.stop", service.config)
    settings: Mapping = {"temperature": 0.0, **document.sampling}
    if seed is None:
        seed = settings.get("seed", secrets.randbits(32))
    own = {"seed": seed % 2**32, "logprobs": content.logprobs or None}
    try:
        return SamplingConfig(**{**settings, **own}, stop=document.stop, stop_ids=ends)
    except ConfigError as error:
        refused = error_of(error)
        field = f"content.document.sampling.{refused.param}" if refused.param else "content"
        raise invalid(refused.message, field) from error


def _rules(rules: OutputRules, block: int | None) -> OutputRules | None:
    """The rules of the server, or stricter ones."""
    if block is None:
        return None
    if rules.judge is None:
        text = "content.block: this server has no filter; leave it out, or start the server with"
        raise invalid(f"{text} --filter=FILE", "content.block")
    return dataclasses.replace(rules, block=max(block, rules.block or 0))
