"""Has an engine answer prompts: choices are scored, other answers are generated."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hclx.errors import ConfigError
from hclx.evaluate.item_prompts import ItemPrompt, Reader
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.scores import AnswerScore
from hclx.hashing import json_hash
from hclx.infer import Engine, GenerateRequest, SamplingConfig, ScoreRequest
from hclx.prompts import PromptDocument


def score_choices(
    engine: Engine, prompts: Sequence[ItemPrompt], priors: Mapping[tuple[int, ...], float] = {}
) -> list[dict[str, AnswerScore]]:
    """Scores the choices of prompts.

    Args:
      engine: of the model.
      prompts: each with choices.
      priors: the token ids of an answer -> their log-probability behind no prompt.
    Returns:
      for each prompt, key -> score.
    """
    requests = [
        ScoreRequest(prompt.context, ids)
        for prompt in prompts
        for ids in prompt.answer_ids.values()
    ]
    totals = (score.total for score in engine.score(requests))
    return [answer_scores(prompt, totals, priors) for prompt in prompts]


def answer_scores(
    prompt: ItemPrompt, totals: Iterable[float], priors: Mapping[tuple[int, ...], float] = {}
) -> dict[str, AnswerScore]:
    """Returns key -> score of the choices of a prompt.

    Args:
      prompt: with choices.
      totals: the log-probabilities of their answers, in order; no more of them are taken.
      priors: as for `score_choices`.
    """
    return {
        key: AnswerScore(
            total=total,
            tokens=len(ids),
            characters=len(prompt.choices[key]),
            bytes=len(prompt.choices[key].encode("utf-8", "surrogatepass")),
            prior=priors.get(ids),
        )
        for (key, ids), total in zip(prompt.answer_ids.items(), totals)
    }


def answer_priors(
    engine: Engine, prompts: Sequence[ItemPrompt], reader: Reader
) -> dict[tuple[int, ...], float]:
    """Returns the log-probability of every answer behind no prompt, for the score "pmi"."""
    distinct = list(dict.fromkeys(ids for prompt in prompts for ids in prompt.answer_ids.values()))
    begin = reader.begin or (reader.tokenizer.eod_id,)
    scores = engine.score([ScoreRequest(begin, ids) for ids in distinct])
    return {ids: score.total for ids, score in zip(distinct, scores, strict=True)}


def generate_answers(
    engine: Engine, prompts: Sequence[ItemPrompt], sampling: SamplingConfig, grammar: Any = None
) -> list[str]:
    """Generates the answers to prompts. Each item has a seed of its own, which follows from that of
    `sampling` and its id: texts of one seed have words in common.
    """
    seed_of = lambda item: (sampling.seed + int(json_hash(item.id)[:8], 16)) % 2**32
    settings = [dataclasses.replace(sampling, seed=seed_of(prompt.item)) for prompt in prompts]
    requests = [
        GenerateRequest(prompt.context, setting, grammar=grammar)
        for prompt, setting in zip(prompts, settings, strict=True)
    ]
    return [generations[0].text for generations in engine.generate(requests)]


def sampling_of(spec: RunSpec, trial: int) -> SamplingConfig:
    """Returns the settings of generation: the prompt's, by default the most likely token each time.

    Raises:
      ConfigError: names the prompt and the setting that is out of range.
    """
    settings = {"temperature": 0.0, **spec.prompt.sampling}
    settings["seed"] = settings.get("seed", spec.seed) + trial
    try:
        return SamplingConfig(**settings, stop=spec.prompt.stop)
    except ConfigError as error:
        raise ConfigError(f"{spec.prompt.name}: sampling.{error}") from error


def grammar_of(document: PromptDocument) -> Any:
    """Returns the grammar of generated answers, None if they are free.

    Raises:
      ConfigError: it is no grammar.
    """
    if not document.grammar:
        return None
    from hclx.infer import grammar

    (kind, definition), *_ = document.grammar.items()
    try:
        return getattr(grammar, kind)(definition)
    except ConfigError as error:
        raise ConfigError(f"{document.name}: grammar.{kind}: {error}") from error


def plain(score: AnswerScore) -> dict[str, float | int | None]:
    """Returns a score as a line of samples has it."""
    record = dataclasses.asdict(score)
    prior = record.pop("prior")
    return {**record, "pmi": None if prior is None else score.by("pmi")}
