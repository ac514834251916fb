"""Builds of a token cache that are killed, or that run at the same time."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hclx.data.build_lock import build_lock
from hclx.data.cache_builder import build_cache
from hclx.data.source import ReadSettings, input_source
from tests.helpers.commands import environment

# Builds a cache; after TO_ENCODE documents it stands still, so that it can be killed there.
BUILD = """
import sys, time
from hclx.data import cache_builder
from hclx.data.source import ReadSettings, input_source
folder, tokenizer, to_encode = sys.argv[1], sys.argv[2], int(sys.argv[3])
if to_encode < 0:  # waits for the word to begin
    print("ready", flush=True)
    sys.stdin.readline()
    to_encode = 0
real, count = cache_builder._encode, 0
def encode(directory, fingerprint, texts):
    global count
    ids = real(directory, fingerprint, texts)
    count += len(texts)
    print(count, flush=True)
    if to_encode and count >= to_encode:
        cache_builder.Journal._flush(journals[-1])  # as a second of work does
        time.sleep(60)
    return ids
journals, opened = [], cache_builder.Journal.__enter__
def enter(journal):
    journals.append(journal)
    return opened(journal)
cache_builder.Journal.__enter__ = enter
cache_builder._encode = encode
batches = cache_builder.batches
cache_builder.batches = lambda texts: batches(texts, 1)  # a document at a time
settings = ReadSettings(validation_permille=100)
cache = cache_builder.build_cache(
    "m", [input_source(folder + "/*.jsonl")], tokenizer, folder + "/cache", settings
)
print("fingerprint", cache.fingerprint)
"""


@pytest.fixture()
def text(tmp_path, sample_texts):
    for part in range(3):
        lines = [json.dumps({"text": f"{text} {part}"}) + "\n" for text in sample_texts[:20]]
        (tmp_path / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def start(folder, tokenizer, to_encode=0):
    arguments = [sys.executable, "-c", BUILD, str(folder), str(tokenizer), str(to_encode)]
    return subprocess.Popen(
        arguments,
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def whole(folder, tokenizer, name):
    settings, source = ReadSettings(validation_permille=100), input_source(f"{folder}/*.jsonl")
    return build_cache("m", [source], tokenizer, folder / name, settings)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_build_goes_on_where_it_stopped(number, text, tokenizer_dirs):
    (text / ".cache.ab12_xyz").mkdir()  # what a build of before left
    tokenizer = tokenizer_dirs["plain"]
    with start(text, tokenizer, to_encode=30) as build:
        while int(build.stdout.readline()) < 30:
            pass
        time.sleep(0.2)
        build.send_signal(number)
    assert not (text / "cache").exists() and (text / ".cache.build").is_dir()
    with start(text, tokenizer) as build:
        output, errors = build.communicate(timeout=60)
    assert build.returncode == 0, errors
    *counts, fingerprint = output.split("\n")[:-1]
    expected = whole(text, tokenizer, "whole")
    n_documents = sum(
        split["n_documents"] for split in expected.manifest["sources"][0]["splits"].values()
    )
    assert n_documents == 60 and n_documents - 30 <= int(counts[-1]) <= n_documents - 25
    assert fingerprint == f"fingerprint {expected.fingerprint}"
    for path in (text / "whole").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (text / "cache" / path.relative_to(text / "whole")).read_bytes()
            )
    assert sorted(p.name for p in text.iterdir() if not p.name.endswith("l")) == ["cache", "whole"]


def test_what_a_build_of_before_left_is_removed_whatever_its_name_is(tmp_path):
    remains = [".[2024] 글.ab12_xyz", ".[2024] 글.Ab12_xyz", ".[2024] 글.build", ".4 글.ab12_xyz"]
    for name in remains:
        (tmp_path / name / "folder").mkdir(parents=True)
    with build_lock(tmp_path / "[2024] 글"):
        assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set(remains[1:])


def test_another_text_begins_again(text, tokenizer_dirs, sample_texts):
    tokenizer = tokenizer_dirs["plain"]
    with start(text, tokenizer, to_encode=10) as build:
        while int(build.stdout.readline()) < 10:
            pass
        build.kill()
    (text / "1.jsonl").write_text(json.dumps({"text": "다른 글"}) + "\n", encoding="utf-8")
    with start(text, tokenizer) as build:
        output, errors = build.communicate(timeout=60)
    assert f"fingerprint {whole(text, tokenizer, 'whole').fingerprint}" in output, errors


def test_two_builds_of_one_cache_agree(text, tokenizer_dirs):
    builds = [start(text, tokenizer_dirs["plain"], to_encode=-1) for _ in range(2)]
    assert [build.stdout.readline() for build in builds] == ["ready\n"] * 2
    for build in builds:
        build.stdin.write("\n")
        build.stdin.flush()
    outputs = [build.communicate(timeout=60) for build in builds]
    assert [build.returncode for build in builds] == [0, 0], outputs
    first, second = (output.split("\n") for output, _ in outputs)
    assert first[-2] == second[-2] and min(len(first), len(second)) == 2  # one of them waited
    assert not os.path.exists(text / ".cache.lock")
