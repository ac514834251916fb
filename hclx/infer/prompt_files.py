"""Files of prompts: each line of the input becomes a line of the output, in order, and a command
that was killed goes on where it stopped.

A line of the input is a JSON object with `prompt`, any field of `SamplingConfig` that differs from
the command's, a `grammar`, such as {"regex": "[0-9]+"}, the name of an `artefact`, and what belongs
to its author: `id`, `document` and `data`. The line of the output is the same object with `seed`,
`text`, `stop_reason`, `prompt_tokens` and `completion_tokens`; and with `token_logprobs`, if it
asks for `logprobs`.
"""

import collections
import dataclasses
import fcntl
import functools
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from hclx.errors import ConfigError, DataError, MissingExtraError, guess, shown
from hclx.infer.engine import Engine, GenerateRequest, Generation, RequestError
from hclx.infer.grammar import Grammar, from_definition
from hclx.infer.sampling import SamplingConfig
from hclx.progress import ProgressBar
from hclx.text.documents import composed

_LOG = logging.getLogger(__name__)
_FIELDS = {field.name for field in dataclasses.fields(SamplingConfig)}
# Added to a line of the output.
_ADDED = ("text", "stop_reason", "prompt_tokens", "completion_tokens", "token_logprobs")
_OWN = ("id", "document", "data")  # what the author of a line keeps there, any JSON
# The last of them may come from an earlier output.
_KNOWN = ("prompt", "grammar", "artefact", *sorted(_FIELDS), "n", *_OWN, *_ADDED)
_AHEAD = 256  # requests that are submitted before the first of them is written


@dataclasses.dataclass(frozen=True)
class PromptFile:
    """A file of prompts, and how much of it is done.

    Attributes:
      lines: the objects of all lines of the input.
      places: file and number of each line, for messages.
      requests: one for each line.
      n_done: the lines whose texts are in the output already.
      stream: the output, which is locked against other commands while it is open.
    """

    lines: list[dict]
    places: list[str]
    requests: list[GenerateRequest]
    n_done: int
    stream: BinaryIO


def read_prompts(
    prompts: str, output: str | None, sampling: SamplingConfig, record: Mapping[str, Any]
) -> PromptFile:
    """Reads and checks a file of prompts, and what an earlier command has made of it.

    Args:
      prompts: the JSONL file.
      output: the JSONL file of texts; half a line at its end is removed.
      sampling: settings of lines that do not say otherwise; the seed of the first is `seed`, that
        of the next `seed` + 1, and so on.
      record: what else the texts depend on, such as the model, and under "artefacts" those that
        lines may name. With the settings it lies beside the
        output, as `<output>.settings.json`.
    Raises:
      ConfigError: there is no output, or it was made with other settings.
      DataError: a line is wrong: names file, line and field.
    """
    if not output:
        raise ConfigError("--prompts needs --output=FILE.jsonl for the texts")
    if Path(output).resolve() == Path(prompts).resolve():
        raise ConfigError(f"--output={output} is the file of prompts; name another one")
    lines, places, requests = [], [], []
    for number, text in _read_lines(Path(prompts)):
        places.append(f"{prompts}:{number}")
        # With one seed, all texts would have the same random numbers, and words in common.
        of_line = dataclasses.replace(sampling, seed=(sampling.seed + len(lines)) % 2**32)
        lines.append(_object(text, places[-1]))
        requests.append(_request(lines[-1], of_line, places[-1], record.get("artefacts", ())))
    if not lines:
        raise DataError(f"{prompts} has no lines; write one JSON object with `prompt` a line")
    seeds = {"seeds": "one for each line"}  # earlier versions had one for all
    settings = json.loads(json.dumps({**record, **dataclasses.asdict(sampling), **seeds}))
    stream = _locked(output)
    try:
        _check_record(Path(output), settings)
        n_done = _n_done(Path(output), lines, places)
    except BaseException:
        stream.close()
        raise
    return PromptFile(lines, places, requests, n_done, stream)


def _locked(output: str) -> BinaryIO:
    """Opens the output to append to it. Raises ConfigError if another command has it open."""
    stream = open(output, "ab", buffering=0)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise ConfigError(
            f"another command is writing to {output}; wait for it, or name another --output"
        ) from error
    return stream


def continue_file(engine: Engine, file: PromptFile) -> None:
    """Continues the prompts that are left, and appends their texts to the output, in order. Fields
    of a line that have the name of one that is added are replaced.

    Args:
      engine: of the model.
      file: as `read_prompts` returned it; its stream is closed.
    Raises:
      DataError: a prompt cannot be continued: names its line. What is before it is written.
    """
    left = collections.deque(range(file.n_done, len(file.lines)))
    tickets = collections.deque()
    with (
        file.stream as stream,
        ProgressBar(len(file.lines), "continuing prompts", "prompt", done=file.n_done) as progress,
    ):
        while left or tickets:
            while left and len(tickets) < _AHEAD:
                number = left.popleft()
                tickets.append((number, _submit(engine, file.requests[number])))
            number, ticket = tickets.popleft()
            try:
                result = ticket.result()
            except RequestError as error:
                raise DataError(f"{file.places[number]}: {error}") from error
            seed = {"seed": file.requests[number].sampling.seed}
            _append(stream, _dump({**seed, **file.lines[number], **_added(result)}))
            progress.update(1)


class _Refused(NamedTuple):
    """The ticket of a request that the engine does not take; those before it are served first."""

    error: RequestError

    def result(self):
        raise self.error


def _submit(engine: Engine, request: GenerateRequest):
    try:
        return engine.submit(request)
    except RequestError as error:
        return _Refused(error)


def _added(result: Generation) -> dict[str, Any]:
    n_tokens = result.n_prompt, len(result.tokens)
    added = dict(zip(_ADDED, (result.text, result.stop_reason, *n_tokens)))
    if result.logprobs is not None:
        added["token_logprobs"] = [
            {
                "token": token.token,
                "logprob": token.logprob,
                "top": [{"token": other, "logprob": logprob} for other, logprob in token.top],
            }
            for token in result.logprobs
        ]
    return added


def _dump(line: dict) -> bytes:
    try:
        return (json.dumps(line, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 has not
        return (json.dumps(line) + "\n").encode()


def _append(stream, data: bytes) -> None:
    """Writes a whole line or nothing."""
    begin = stream.seek(0, os.SEEK_END)
    try:
        written = 0
        while written < len(data):
            written += stream.write(data[written:])
    except OSError:
        stream.truncate(begin)
        raise


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank, with their numbers."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; name a JSONL file of prompts") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line} is not in UTF-8; convert the file") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _object(text: str, where: str) -> dict:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter: of brackets in brackets
        raise DataError(f"{where} is no JSON: {error}") from error
    if not isinstance(line, dict) or not isinstance(line.get("prompt"), str):
        raise DataError(f'{where} has no text in `prompt`; write {{"prompt": "..."}}')
    return line


def _request(
    line: dict, sampling: SamplingConfig, where: str, artefacts: Collection[str] = ()
) -> GenerateRequest:
    if unknown := [name for name in line if name not in _KNOWN]:
        raise DataError(
            f"{where}: {shown(unknown[0])} is no field of a line{guess(unknown[0], _KNOWN)}; what"
            " is your own goes into `data`"
        )
    if line.get("n", 1) != 1:
        raise DataError(
            f"{where}: n={shown(line['n'])}: a line gets one text; write a line for each, with a"
            " `seed` of its own"
        )
    changes = {name: value for name, value in line.items() if name in _FIELDS}
    for name in ("stop", "stop_ids", "allowed_tokens"):
        if isinstance(changes.get(name), list):
            changes[name] = tuple(changes[name])
        elif isinstance(changes.get(name), str):
            changes[name] = (changes[name],)
    try:
        if "logit_bias" in changes:
            changes["logit_bias"] = {int(k): float(v) for k, v in changes["logit_bias"].items()}
        settings = dataclasses.replace(sampling, **changes)
        grammar = _grammar(json.dumps(line.get("grammar")))
    except MissingExtraError:
        raise
    except ConfigError as error:
        raise DataError(f"{where}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        names = ", ".join(changes)
        raise DataError(f"{where}: a value of {names} has a wrong type: {error}") from error
    artefact = line.get("artefact")
    if artefact is not None and artefact not in artefacts:
        known = ", ".join(artefacts) or "none"
        raise DataError(
            f"{where}: artefact={shown(artefact)} is not one of those of the command: {known}; name"
            " it with --artefact=NAME=FILE"
        )
    return GenerateRequest(composed(line["prompt"]), settings, grammar=grammar, artefact=artefact)


@functools.lru_cache(maxsize=1024)
def _grammar(definition: str) -> Grammar | None:
    """Makes a grammar of its definition in JSON, which many lines may have."""
    parsed = json.loads(definition)
    grammar = None if parsed is None else from_definition(parsed)
    if grammar and grammar.warnings:
        reasons = "; ".join(grammar.warnings)
        _LOG.warning("texts of %s may grow until max_tokens: %s", shown(definition), reasons)
    return grammar


def _check_record(output: Path, settings: dict) -> None:
    path = output.with_name(output.name + ".settings.json")
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        before = None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; remove it and {output}") from error
    if before is not None and output.exists() and output.stat().st_size:
        names = [name for name in settings if before.get(name) != settings[name]]
        if names:
            name = names[0]
            raise ConfigError(
                f"{output} was made with {name}={before.get(name)!r}, not {settings[name]!r};"
                " name another file, or remove this one"
            )
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _n_done(output: Path, lines: list[dict], places: list[str]) -> int:
    """The number of lines that are in the output; half a line at its end is removed."""
    if not output.exists():
        return 0
    data = output.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(output, len(whole))
    texts = whole.decode("utf-8", errors="replace").split("\n")[:-1]
    for number, text in enumerate(texts):
        done = _object(text, f"{output}:{number + 1}")
        if number >= len(lines) or not _is_of(done, lines[number]):
            place = places[number] if number < len(lines) else "any line of the prompts"
            raise ConfigError(
                f"{output}:{number + 1} is not the text of {place}; name another file, or remove"
                " this one"
            )
    return len(texts)


def _is_of(done: dict, line: dict) -> bool:
    """Returns whether a line of the output was made of a line of the input."""
    kept = {name: value for name, value in line.items() if name not in _ADDED}
    # Compared as text, because NaN is not equal to itself.
    return _dump({name: done.get(name) for name in kept}) == _dump(kept)
