"""Streams of Korean, emoji and rare syllables: whole characters in each event, and together the
text that a request without a stream gets.
"""

import concurrent.futures
import json
import random
import re
import urllib.request

import pytest

pytest.importorskip("llguidance")

from tests.helpers.serving import served

RARE = "뷁쀍햏똠믜곬꿻쫡힣뛟ㅱㆍᄒᆞᆫ글〜…“”"
EMOJI = ["😀", "👩‍👩‍👧", "🇰🇷", "👍🏽", "❤️", "🧑‍💻"]
N_CLIENTS = 8


def rules(n):
    """`n` rules for texts of at most 44 bytes: the tiny model reads 64, and a byte is a token. The
    model chooses each character, so that it is written byte by byte.
    """
    draw = random.Random(3)
    for _ in range(n):
        parts = draw.sample([*RARE, *EMOJI, "가", " 나", "a"], 12)
        longest = max(len(part.encode()) for part in parts)
        yield f"({'|'.join(map(re.escape, parts))}){{{44 // longest}}}"


def answer_of(address, path, body):
    request = urllib.request.Request(f"{address}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read().decode("utf-8")


def events(stream):
    """The data of each event that is JSON."""
    lines = (line.removeprefix("data: ") for line in stream.splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def address(app):
    with served(app) as address:
        yield address


@pytest.mark.parametrize("n", [16, pytest.param(1000, marks=pytest.mark.long)])
def test_streams_say_what_whole_answers_say(address, n):
    def both(number_and_rule):
        number, rule = number_and_rule
        body = {"model": "tiny", "prompt": "글", "max_tokens": 60, "seed": number}
        body["structured_outputs"] = {"regex": rule}
        whole = json.loads(answer_of(address, "/v1/completions", body))["choices"][0]["text"]
        stream = events(answer_of(address, "/v1/completions", {**body, "stream": True}))
        parts = [event["choices"][0]["text"] for event in stream]
        assert all("\ufffd" not in part for part in parts), parts
        assert "".join(parts) == whole and re.fullmatch(rule, whole)
        return sum(map(bool, parts))

    with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
        n_parts = sum(pool.map(both, enumerate(rules(n))))
    assert n_parts > 2 * n, "they come in parts"
