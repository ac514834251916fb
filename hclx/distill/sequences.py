"""Distillation by texts: a teacher answers rows, and a student is tuned on its answers (Kim and
Rush 2016, "Sequence-level knowledge distillation").
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.infer import Engine, GenerateRequest, SamplingConfig, ScoreRequest
from hclx.infer.model_source import RunFolder
from hclx.progress import ProgressBar
from hclx.prompts import PromptDocument, prompt_hash, render
from hclx.text import Tokenizer
from hclx.train.jsonl import read_records, replace_text, to_line
from hclx.tune.examples import choice_examples, row_fields
from hclx.tune.row_files import Row
from hclx.tune.tuning_data import TuningText

ROWS = 64  # whose answers are written at once


def write_sequences(
    teacher: str, text: TuningText, path: str, sampling: SamplingConfig
) -> int | None:
    """Writes a row with the teacher's own answer for each row, for `hclx tune --data=FILE`. A file
    that was begun is continued.

    Rows that it answers with nothing are left out.

    Args:
      teacher: MODEL_DIR or MODEL_DIR:STEP.
      text: the rows; with a prompt document that has choices, the teacher chooses, else it writes.
        Their own answers are not looked at.
      path: of the file, JSON lines; PATH.json beside it says what the answers were made from.
      sampling: of what is written; a prompt document's own settings and stops come first.
    Returns:
      The number of lines in the file; None in a process that only follows process 0.
    Raises:
      ConfigError: the file was begun with another teacher, prompt or settings.
      DataError: a row lacks a field, or the file has answers to other rows.
    """
    folder, _, step = teacher.partition(":")
    source = RunFolder(folder, int(step) if step else None, None, rows=16)
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return None
        reads, prompt = source.reads, text.prompt
        sampling = _sampling(prompt, sampling)
        settings = {
            "teacher": reads.facts["fingerprint"],
            "prompt": prompt_hash(prompt) if prompt else None,
            "sampling": json_hash(dataclasses.asdict(sampling)),
        }
        _check_begun(Path(path), settings)
        first = _n_answered(Path(path), text.rows)
        with (
            Path(path).open("a", encoding="utf-8") as file,
            ProgressBar(len(text.rows), "answering", "row", done=first) as progress,
        ):
            for begin in range(first, len(text.rows), ROWS):
                rows = text.rows[begin : begin + ROWS]
                if prompt and prompt.choices:
                    answered = _choose(engine, prompt, rows, reads.tokenizer)
                else:
                    answered = _generate(engine, prompt, rows, sampling)
                for number, (row, fields) in enumerate(zip(rows, answered, strict=True), begin):
                    if fields is not None:
                        known = {"row": number, "row_hash": json_hash(row.fields)}
                        file.write(to_line({**fields, **known}))
                file.flush()
                progress.update(len(rows))
        return len(Path(path).read_bytes().splitlines())


def _sampling(prompt: PromptDocument | None, sampling: SamplingConfig) -> SamplingConfig:
    if prompt is None:
        return sampling
    return dataclasses.replace(sampling, **prompt.sampling, stop=prompt.stop)


def _check_begun(path: Path, settings: dict) -> None:
    """Refuses a file that was begun with other settings; drops a line that was not finished."""
    record = path.with_name(f"{path.name}.json")
    if not record.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(record, json.dumps(settings) + "\n")
    before = json.loads(record.read_text(encoding="utf-8"))
    differing = [name for name in settings if before.get(name) != settings[name]]
    if differing:
        raise ConfigError(
            f"{path} was begun with another {differing[0]} ({str(before.get(differing[0]))[:16]},"
            f" here {str(settings[differing[0]])[:16]}); name another --write"
        )
    content = path.read_bytes() if path.exists() else b""
    if not content.endswith(b"\n") and content:
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _n_answered(path: Path, rows: Sequence[Row]) -> int:
    """The rows up to the last one that the file answers."""
    written = read_records(path, {"row": int, "row_hash": str})
    for line, record in enumerate(written, 1):
        number = record["row"]
        if number >= len(rows) or record["row_hash"] != json_hash(rows[number].fields):
            raise DataError(f"{path}:{line} answers another row; name another --write")
    return written[-1]["row"] + 1 if written else 0


def _generate(
    engine: Engine, prompt: PromptDocument | None, rows: Sequence[Row], sampling: SamplingConfig
) -> list[dict | None]:
    """The rows with texts that the teacher wrote, None where it wrote nothing, of which nothing is
    learnt. Texts of one seed would have words in common.
    """
    fields = [_question(prompt, row) for row in rows]
    seeds = [(sampling.seed + int(json_hash(row.fields)[:8], 16)) % 2**32 for row in rows]
    requests = [
        GenerateRequest(context, dataclasses.replace(sampling, seed=seed))
        for (context, _), seed in zip(fields, seeds, strict=True)
    ]
    texts = [generations[0].text for generations in engine.generate(requests)]
    answers = []
    for (context, own), text in zip(fields, texts, strict=True):
        if prompt is None:
            answers.append({"prompt": context, "completion": text} if text else None)
        else:
            answer = {prompt.answer_field: text.strip()}
            answers.append({**own, **answer} if text.strip() else None)
    return answers


def _question(prompt: PromptDocument | None, row: Row) -> tuple[str, dict]:
    """Returns the text that the teacher continues, and the fields that stay."""
    if prompt:
        # A row has to have an answer to be read; these have none yet, and none is rendered.
        placeholder = {prompt.answer_field: "", "answer": ""}
        fields = row_fields(prompt, Row(row.where, {**placeholder, **row.fields}))
        return render(prompt, fields, prompt.examples).text, fields
    for name in ("prompt", "text"):
        if isinstance(row.fields.get(name), str):
            return row.fields[name], {}
    raise DataError(f"{row.where} has no prompt (or text) for the teacher to continue")


def _choose(
    engine: Engine, prompt: PromptDocument, rows: Sequence[Row], tokenizer: Tokenizer
) -> list[dict]:
    """The rows with the likeliest choice, as `hclx evaluate` scores "total"."""
    # A row has to name a choice to be read; which one changes nothing.
    placeholder = {prompt.answer_field: next(iter(prompt.choices))}
    own = [row_fields(prompt, Row(r.where, {**r.fields, **placeholder})) for r in rows]
    choices = [choice_examples(prompt, fields, tokenizer) for fields in own]
    requests = []
    for of_row in choices:
        for example in of_row.values():
            n = int((example.weights == 0).sum())
            ids = example.tokens.tolist()
            requests.append(ScoreRequest(tuple(ids[:n]), tuple(ids[n:])))
    totals = iter(score.total for score in engine.score(requests))
    answers = []
    for fields, of_row in zip(own, choices, strict=True):
        scores = {key: next(totals) for key in of_row}
        answers.append({**fields, prompt.answer_field: max(scores, key=scores.get)})
    return answers
