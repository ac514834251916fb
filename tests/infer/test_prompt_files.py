"""Files of prompts: order, settings of a line, resumption, and what is wrong with a line."""

import dataclasses
import json

import pytest

from hclx.errors import ConfigError, DataError
from hclx.infer import Generation, SamplingConfig
from hclx.infer.prompt_files import continue_file, read_prompts

SAMPLING = SamplingConfig(max_tokens=5)


class Ticket:
    def __init__(self, request):
        self._request = request

    def result(self):
        if self._request.prompt == "죽음":
            raise KeyboardInterrupt
        text = f"{self._request.prompt} {self._request.sampling.max_tokens}"
        return Generation(text, (1, 2), "length", 3)


class Engine:
    """An engine that only repeats its prompts, and counts them."""

    def __init__(self):
        self.n = 0

    def submit(self, request):
        self.n += 1
        return Ticket(request)


def write(path, *lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return str(path)


def run(prompts, output, sampling=SAMPLING, record=None):
    engine = Engine()
    continue_file(engine, read_prompts(prompts, output, sampling, record or {"model": 1}), output)
    return engine.n


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def test_a_line_gives_a_line_in_order_with_its_own_settings(tmp_path):
    prompts = write(
        tmp_path / "in.jsonl",
        {"prompt": "가", "id": 7},
        {"prompt": "나\u2028", "max_tokens": 9, "stop": "끝", "logit_bias": {"70": 1}},
    )
    output = str(tmp_path / "out.jsonl")
    assert run(prompts, output) == 2
    first, second = lines(output)
    assert first == {
        "prompt": "가",
        "id": 7,
        "text": "가 5",
        "stop_reason": "length",
        "prompt_tokens": 3,
        "completion_tokens": 2,
    }
    assert second["text"] == "나\u2028 9"
    assert run(prompts, output) == 0 and len(lines(output)) == 2


@pytest.mark.parametrize("half", ["", '{"prompt": "다", "te'])
def test_a_killed_command_goes_on_where_it_stopped(tmp_path, half):
    three = [{"prompt": "가"}, {"prompt": "나"}, {"prompt": "죽음"}, {"prompt": "라"}]
    prompts = write(tmp_path / "in.jsonl", *three)
    output = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(prompts, str(output))
    assert [line["prompt"] for line in lines(output)] == ["가", "나"]
    with open(output, "a", encoding="utf-8") as stream:
        stream.write(half)
    file = read_prompts(prompts, str(output), SAMPLING, {"model": 1})
    assert file.n_done == 2 and len(lines(output)) == 2


def test_texts_of_other_prompts_or_settings_are_not_continued(tmp_path):
    prompts = write(tmp_path / "in.jsonl", {"prompt": "가"}, {"prompt": "나"})
    output = str(tmp_path / "out.jsonl")
    run(prompts, output)
    with pytest.raises(ConfigError, match="was made with temperature=0.8, not 0.1; name another"):
        run(prompts, output, dataclasses.replace(SAMPLING, temperature=0.1))
    with pytest.raises(ConfigError, match="was made with model=1, not 2"):
        run(prompts, output, record={"model": 2})
    others = write(tmp_path / "other.jsonl", {"prompt": "가"}, {"prompt": "다"})
    with pytest.raises(ConfigError, match="out.jsonl:2 is not the text of line 2 of the prompts"):
        run(others, output)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "in.jsonl:1 is no JSON"),
        ("[]", "in.jsonl:1 has no text in `prompt`"),
        ('{"prompt": 3}', "in.jsonl:1 has no text in `prompt`"),
        ('{"prompt": "가"}\n{"prompt": "나", "top_p": 2}', "in.jsonl:2: top_p=2 is out of range"),
        (
            '{"prompt": "가", "max_tokens": "many"}',
            "in.jsonl:1: max_tokens='many': give a whole number",
        ),
        ("", "has no lines"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_before_anything_runs(tmp_path, text, message):
    path = tmp_path / "in.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_prompts(str(path), str(tmp_path / "out.jsonl"), SAMPLING, {})


def test_a_file_that_is_missing_or_not_in_utf_8(tmp_path):
    with pytest.raises(DataError, match="does not exist; name a JSONL file"):
        read_prompts(str(tmp_path / "none"), "out", SAMPLING, {})
    path = tmp_path / "cp949.jsonl"
    path.write_bytes('{"prompt": "가"}\n{"prompt": "나"}\n'.encode("cp949"))
    with pytest.raises(DataError, match="cp949.jsonl:1 is not in UTF-8"):
        read_prompts(str(path), "out", SAMPLING, {})
    with pytest.raises(ConfigError, match="--prompts needs --output"):
        read_prompts(str(path), None, SAMPLING, {})
