"""Files of prompts: order, settings of a line, resumption, and what is wrong with a line."""

import dataclasses
import json
import os

import pytest

from hclx.errors import ConfigError, DataError
from hclx.infer import Generation, RequestError, SamplingConfig
from hclx.infer.engine import TokenLogprob
from hclx.infer.prompt_files import continue_file, read_prompts

SAMPLING = SamplingConfig(max_tokens=5)


class Ticket:
    def __init__(self, request):
        self._request = request

    def result(self):
        if self._request.prompt == "죽음":
            raise KeyboardInterrupt
        if self._request.prompt == "안 됨":
            raise RequestError("the grammar allows nothing")
        sampling = self._request.sampling
        logprobs = None
        if sampling.logprobs is not None:
            top = ((5, -0.25), (7, -1.5))[: sampling.logprobs]
            logprobs = (TokenLogprob(5, -0.25, top), TokenLogprob(7, -2.0, top))
        text = f"{self._request.prompt} {sampling.max_tokens}"
        return Generation(text, (1, 2), "length", 3, logprobs=logprobs)


class Engine:
    """An engine that only repeats its prompts, and counts them."""

    def __init__(self):
        self.n = 0

    def submit(self, request):
        if request.prompt == "너무 길다":
            raise RequestError("the prompt has 9 tokens")
        self.n += 1
        return Ticket(request)


def write(path, *lines):
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return str(path)


def run(prompts, output, sampling=SAMPLING, record=None):
    engine = Engine()
    continue_file(engine, read_prompts(prompts, output, sampling, record or {"model": 1}))
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
        "seed": 0,
        "text": "가 5",
        "stop_reason": "length",
        "prompt_tokens": 3,
        "completion_tokens": 2,
    }
    assert second["text"] == "나\u2028 9"
    assert run(prompts, output) == 0 and len(lines(output)) == 2


def test_each_line_has_a_seed_of_its_own(tmp_path):
    three = [{"prompt": "가"}, {"prompt": "가", "seed": 3}, {"prompt": "가"}]
    prompts = write(tmp_path / "in.jsonl", *three)
    for base, seeds in ((0, [0, 3, 2]), (2**32 - 1, [2**32 - 1, 3, 1])):
        output = str(tmp_path / f"{base}.jsonl")
        run(prompts, output, SamplingConfig(max_tokens=5, seed=base))
        assert [line["seed"] for line in lines(output)] == seeds
        assert run(prompts, output, SamplingConfig(max_tokens=5, seed=base)) == 0
    # A file that was made with one seed for all lines is not gone on with.
    settings = tmp_path / "0.jsonl.settings.json"
    before = json.loads(settings.read_text())
    del before["seeds"]
    settings.write_text(json.dumps(before))
    with pytest.raises(ConfigError, match="was made with seeds=None"):
        run(prompts, str(tmp_path / "0.jsonl"), SamplingConfig(max_tokens=5, seed=0))


def test_log_probabilities_are_in_the_line_that_asks_for_them(tmp_path):
    three = [{"prompt": "가", "logprobs": 1}, {"prompt": "나"}, {"prompt": "다", "logprobs": 0}]
    prompts = write(tmp_path / "in.jsonl", *three)
    output = str(tmp_path / "out.jsonl")
    run(prompts, output)
    first, second, third = lines(output)
    top = [{"token": 5, "logprob": -0.25}]
    assert first["token_logprobs"] == [
        {"token": 5, "logprob": -0.25, "top": top},
        {"token": 7, "logprob": -2.0, "top": top},
    ]
    assert "token_logprobs" not in second
    assert [token["top"] for token in third["token_logprobs"]] == [[], []]
    assert run(prompts, output) == 0  # the lines are found again


def test_a_line_may_have_a_grammar(tmp_path, caplog):
    grammar = pytest.importorskip("hclx.infer.grammar")
    pytest.importorskip("llguidance")
    definitions = [{"regex": "가{3}"}, {"choices": ["가", "나"]}, None, {"regex": "가+"}] * 2
    prompts = write(tmp_path / "in.jsonl", *({"prompt": "", "grammar": d} for d in definitions))
    file = read_prompts(prompts, str(tmp_path / "out.jsonl"), SAMPLING, {})
    file.stream.close()
    expected = [grammar.regex("가{3}"), grammar.choices(["가", "나"]), None, grammar.regex("가+")]
    assert [request.grammar for request in file.requests] == expected * 2
    assert caplog.text.count("may grow until max_tokens: +: a repetition without a bound") == 1


@pytest.mark.parametrize(
    "definition, message",
    [
        ({"regex": "(가"}, "the regex cannot be followed: .*unclosed group"),
        ({"lark": "start: nothing"}, 'unknown name: "nothing"'),
        ({"json_schema": {"type": "nosuch"}}, "Invalid type: nosuch"),
        ({"choices": []}, r"choices=\[\]: give a list"),
        ("가", "grammar='가': give an object with choices or regex"),
    ],
)
def test_a_grammar_that_is_wrong_is_told_with_its_line(tmp_path, definition, message):
    pytest.importorskip("llguidance")
    two = [{"prompt": "", "grammar": {"regex": "가"}}, {"prompt": "", "grammar": definition}]
    prompts = write(tmp_path / "in.jsonl", *two)
    with pytest.raises(DataError, match="in.jsonl:2: .*" + message):
        read_prompts(prompts, str(tmp_path / "out.jsonl"), SAMPLING, {})
    assert not (tmp_path / "out.jsonl").exists()


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
    file.stream.close()
    assert file.n_done == 2 and len(lines(output)) == 2


def test_two_commands_do_not_write_one_file(tmp_path):
    prompts = write(tmp_path / "in.jsonl", {"prompt": "가"}, {"prompt": "나"})
    output = str(tmp_path / "out.jsonl")
    file = read_prompts(prompts, output, SAMPLING, {"model": 1})
    with pytest.raises(ConfigError, match="another command is writing to .*out.jsonl; wait for it"):
        run(prompts, output)
    continue_file(Engine(), file)
    assert run(prompts, output) == 0  # all is done, and the lock is free
    assert [line["prompt"] for line in lines(output)] == ["가", "나"]


def test_texts_of_other_prompts_or_settings_are_not_continued(tmp_path):
    prompts = write(tmp_path / "in.jsonl", {"prompt": "가"}, {"prompt": "나"})
    output = str(tmp_path / "out.jsonl")
    run(prompts, output)
    with pytest.raises(ConfigError, match="was made with temperature=0.8, not 0.1; name another"):
        run(prompts, output, dataclasses.replace(SAMPLING, temperature=0.1))
    with pytest.raises(ConfigError, match="was made with model=1, not 2"):
        run(prompts, output, record={"model": 2})
    others = write(tmp_path / "other.jsonl", {"prompt": "가"}, {"prompt": "다"})
    with pytest.raises(ConfigError, match="out.jsonl:2 is not the text of .*other.jsonl:2; name"):
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
        (
            '{"prompt": "가"}\n{"prompt": "나", "temprature": 0}',
            "in.jsonl:2: 'temprature' is no field of a line; is it temperature[?]; what is",
        ),
        (
            '{"prompt": "가", "출처": "책"}',
            "in.jsonl:1: '출처' is no field of a line; what is your own goes into `data`",
        ),
        ("", "has no lines"),
        ('\n \n{"prompt": "가"}\n\n{"prompt": 3}', "in.jsonl:5 has no text"),
        ('{"prompt": "가", "a": ' + "[" * 99_999, "in.jsonl:1 is no JSON"),
        ('{"prompt": "가", "temperature": NaN}', "in.jsonl:1: temperature=nan is out of range"),
        ('{"prompt": "가", "min_tokens": true}', "in.jsonl:1: min_tokens=True"),
        ('{"prompt": "가", "max_tokens": 1' + "0" * 5000 + "}", "in.jsonl:1 is no JSON"),
        ('{"prompt": "가", "stop": null}', "in.jsonl:1: stop=None: give a tuple of texts"),
        ('{"prompt": "가", "logit_bias": {"x": 1}}', "in.jsonl:1: a value of logit_bias"),
        (
            '{"prompt": "가", "n": 3}',
            "in.jsonl:1: n=3: a line gets one text; write a line for each",
        ),
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


@pytest.mark.parametrize("bad", ["너무 길다", "안 됨"])
def test_what_is_before_a_line_that_cannot_be_continued_is_written(tmp_path, bad):
    path, output = tmp_path / "in.jsonl", str(tmp_path / "out.jsonl")
    path.write_text(f'{{"prompt": "가"}}\n\n{{"prompt": "{bad}"}}\n{{"prompt": "나"}}\n')
    with pytest.raises(DataError, match="in.jsonl:3: the (prompt has|grammar allows)"):
        run(str(path), output)
    assert [line["prompt"] for line in lines(output)] == ["가"]


def test_lines_of_any_content_are_written_and_found_again(tmp_path):
    """Numbers that are none, half characters, and what an earlier output has."""
    texts = [
        '{"prompt": "가", "id": NaN, "document": "책:3", "data": [Infinity, 1e400, {"a": null}]}',
        '{"prompt": "\\ud800나", "data": "\\udfff"}',
        '{"prompt": "다\\u0000", "text": "old", "stop_reason": 3}',
    ]
    path, output = tmp_path / "in.jsonl", str(tmp_path / "out.jsonl")
    path.write_text("\n".join(texts))
    assert run(str(path), output) == 3 and run(str(path), output) == 0
    assert [line["text"] for line in lines(output)] == ["가 5", "\ud800나 5", "다\0 5"]
    path.write_text("\n".join(texts).replace("udfff", "udffe"))
    with pytest.raises(ConfigError, match="out.jsonl:2 is not the text of .*in.jsonl:2"):
        run(str(path), output)


def test_the_prompts_are_not_overwritten(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "가"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="is the file of prompts; name another one"):
        read_prompts(
            str(path), f"{tmp_path}/../{tmp_path.name}/prompts.jsonl", SamplingConfig(), {}
        )
    assert os.listdir(tmp_path) == ["prompts.jsonl"]
