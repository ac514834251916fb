"""launch/build_corpus.py and launch/inspect_corpus.py: what they print, their errors, and that
workers are heard only by their error.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
import yaml

from hclx.corpus.explain import explain, explain_text
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import load_settings
from hclx.corpus.store import Store
from hclx.data import TokenCache
from hclx.errors import ConfigError, DataError, StorageError
from hclx.launching import take_after_dashes
from tests.helpers import written_corpus
from tests.helpers.built_corpora import raw_name
from tests.helpers.commands import environment, launch, refused

PROGRESS = re.compile(r"I\d{4} \S+ \d+ \w+\.py:\d+\] [\w: ]+: \d+\.\d s")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """(folder of the corpus, settings file, the finished command)."""
    folder = tmp_path_factory.mktemp("corpus")
    raw, config = written_corpus.write(folder)
    result = launch(
        "build_corpus.py",
        f"--config={config}",
        f"--input={raw}",
        f"--output={folder / 'out'}",
        "--workers=1",
    )
    return folder / "out", config, result


def test_it_builds_and_says_what_became_of_each_source(corpus):
    output, _, result = corpus
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if not PROGRESS.fullmatch(line)] == []
    text, *aside, talk, last = result.stdout.splitlines()
    assert aside == [
        "  set aside: text/a.jsonl:4: invalid UTF-8 at byte 10",
        "  set aside: text/a.jsonl:2: no string field `text` (the record has fields id)",
        "  set aside: text/a.jsonl:3: not JSON (Expecting value)",
        "  1 removed by html: `html: strip` in the source keeps the text between tags",
        "  1 removed by html_page: `html: strip` in the source keeps the text of pages",
    ]
    why = "invalid UTF-8 1, no string field `text` 1, not JSON 1"
    n, stay = (
        len(written_corpus.DOCUMENTS),
        {name: text for name, text in written_corpus.kept().items() if name.startswith("text/")},
    )
    size = sum(len(text.encode()) for text in stay.values())
    assert text.startswith(
        f"text: {n} documents, 3 set aside ({why}), {len(stay)} kept, {size / 1000:.1f} kB;"
        " removed: exact_duplicate 2, too_short 2, "
    )
    n_bytes = len((written_corpus.TALK[0] + written_corpus.TALK[2]).encode())
    assert talk == f"talk: 3 documents, 2 kept, {n_bytes} B; removed: too_short 1"
    assert "card.html" in last and (output / "card.html").read_text(encoding="utf-8").startswith(
        "<!DOCTYPE html>"
    )
    card = json.loads((output / "card.json").read_text(encoding="utf-8"))
    assert card["all"]["documents"] == n + 3 and set(card["mixture"]) == {"text", "talk"}


def test_every_rule_has_a_document_that_breaks_it():
    rules = yaml.safe_load(
        (resources.files("hclx.corpus") / "defaults.yaml").read_text(encoding="utf-8")
    )["rules"]
    assert set(rules) == set(written_corpus.BROKEN)


@pytest.mark.parametrize("rule", written_corpus.BROKEN)
def test_the_broken_rule_is_named_and_marked(corpus, rule):
    lines = explain(Store(str(corpus[0])), f"text/{rule}").splitlines()
    bound = load_settings(corpus[1]).sources["text"].rules[rule]
    (verdict,) = [line for line in lines if line.startswith("  filter ")]
    assert f"removed by {rule}: {bound.attribute} is " in verdict and lines[-1].startswith("  | ")
    attribute = lines[lines.index(bound.attribute.split(".")[0]) :]
    line = next(line for line in attribute if line.split()[:1] == [bound.attribute.split(".")[1]])
    assert re.search(rf"\b{rule} [≤≥0-9.][^;]*  <- broken", line)
    assert not [line for line in lines if line.startswith(("  exact ", "as it was kept"))]


def section(text: str, name: str) -> str:
    """Returns the text below a heading."""
    return re.search(rf"^{name}[^\n]*\n(.*?)(?=^\S|\Z)", text, re.M | re.S)[1].rstrip("\n")


def test_later_stages_name_what_stays_and_what_was_removed(corpus):
    store = Store(str(corpus[0]))
    assert "removed by exact_duplicate: text/market stays, of 3 that are equal" in explain(
        store, "text/spaced_too"
    )
    assert "removed by near_duplicate: text/well stays, estimated similarity 0." in explain(
        store, "text/nearly"
    )
    for name, other in (("spaced_too", "market"), ("nearly", "well")):
        shown = explain(store, f"text/{name}")
        assert f"\n      text/{other}: {written_corpus.STAY[other][:50]}" in shown
        assert re.match(rf"text/{name}\n  verdict       removed by \w+_duplicate, stage ", shown)
        assert shown.index("\nverdicts\n") < shown.index("\nlength\n") < shown.index("as it was")
    first = written_corpus.STAY["well"].split("\n")[0]
    assert (
        "removed by paragraph_duplicates: 100.0% of its characters occurred before\n"
        f"      removed: {first}" in explain(store, "text/eaten")
    )
    # the beginning of a name is enough where no other begins so
    quoting = explain(store, "text/quo")
    assert (
        f"kept, 1 paragraph removed\n      removed: {first}" in quoting
        and section(quoting, "as it was kept") == f"  | {written_corpus.kept()['text/quoting']}"
    )
    assert "kept, the first of 3 that are equal" in explain(store, "text/market")
    assert "kept, the first of 2 that are nearly equal" in explain(store, "text/well")
    assert "too_short ≥ 5  <- broken" in explain(store, "talk/talk.txt:2")


def test_inspect_shows_a_document_before_and_after(corpus):
    result = launch("inspect_corpus.py", f"--output={corpus[0]}", "--doc_id=text/letter")
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert (
        result.stdout.startswith(
            "text/letter\n  verdict       kept\n"
            f"  shard         {raw_name('text', 'text/b.jsonl')}-00000, row 2 of"
            f" {len(written_corpus.DOCUMENTS) - 1}, from 0\n"
        )
        and "  licence       CC0" in result.stdout
    )
    assert section(result.stdout, "as it was found") == f"  | {written_corpus.STAY['letter']}"
    assert section(result.stdout, "as it was kept") == f"  | {written_corpus.kept()['text/letter']}"
    assert "as it was kept, masked: email 1, phone 1 (65 characters)" in result.stdout
    assert "  <- broken" not in result.stdout and "kept, no other is nearly equal" in result.stdout


def test_inspect_explains_a_text_that_is_in_no_corpus(corpus):
    result = launch(
        "inspect_corpus.py",
        f"--config={corpus[1]}",
        "--source=talk",
        "--text=-",
        input="네 !!!-!!!!-!!!!\n둘",
    )
    assert result.returncode == 0, result.stderr
    assert (
        "verdict\n"
        "  filter        removed by too_short: length.alphanumerics is 2, and must be ≥ 5;"
        " no_letters would too\n" in result.stdout
    )
    assert re.search(r"\n  chars +17  too_long ≤ 1,000,000\n", result.stdout)
    assert re.search(
        r"\n  alphanumerics +2  too_short ≥ 5  <- broken\n", result.stdout
    ) and re.search("no_letters ≥ 0.3 where .*  <- broken; few_letters", result.stdout)
    masked = explain_text("네 010-1234-5678\n둘", load_settings(corpus[1]), "talk")
    assert section(masked, "as it would be kept") == "  | 네 <전화번호>\n  | 둘"
    assert "\n  filter        kept\n" in explain_text(
        written_corpus.STAY["market"], load_settings(corpus[1]), "text"
    )


def test_inspect_refuses_what_it_cannot_find(corpus, tmp_path):
    store = Store(str(corpus[0]))
    assert "documents begin with text/dup_: text/dup_lines, text/dup_line_chars, " in refused(
        launch("inspect_corpus.py", f"--output={store.root}", "--doc_id=text/dup_"), 65
    )
    assert "missing: --doc_id; give --output and --doc_id, or --config" in refused(
        launch("inspect_corpus.py", f"--output={store.root}"), 64
    )
    for doc_id, message in [
        ("text/none", "no document .* has the id text/none"),
        ("tex", "there is no source 'tex'; sources: text, talk"),
        ("text/", r"documents begin .*, \.\.\.; "),
    ]:
        with pytest.raises(DataError, match=message):
            explain(store, doc_id)
    with pytest.raises(DataError, match="settings.json is missing"):
        explain(Store(str(tmp_path)), "text/market")
    with pytest.raises(ConfigError, match="--source='news' is none of text, talk"):
        explain_text("글", load_settings(corpus[1]), "news")


@pytest.mark.parametrize(
    "changes, code, message",
    [
        (
            {"seeds": 1},
            64,
            "corpus.yaml: line LINE: seeds is unknown; is it seed.; the file has sources, ",
        ),
        (
            {"sources": {"news": {"input": "none/*.jsonl"}}},
            65,
            "sources.news.input: .*none/.*jsonl matches no file",
        ),
        (
            {"rules": {"mine": {"attribute": "length.pages", "max": 1}}},
            64,
            "sources.text.rules.mine: no attribute 'length.pages'; length: chars, ",
        ),
        (
            {"contamination": {}},
            64,
            "contamination needs the evaluation sets, see docs/corpus.md; give --evaluation_dir",
        ),
        (
            {"contamination": {"tasks": ["nsmc"]}},
            65,
            "/none/tasks/.* does not exist; .* that --evaluation_dir or HCLX_DATA_DIR names",
        ),
    ],
    ids=["field", "file", "attribute", "evaluation", "evaluation_dir"],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(tmp_path, changes, code, message):
    raw, config = written_corpus.write(tmp_path)
    config.write_text(
        yaml.safe_dump({**written_corpus.SETTINGS, **changes}, sort_keys=False), encoding="utf-8"
    )
    lines = config.read_text(encoding="utf-8").splitlines()
    place = next((i for i, line in enumerate(lines, 1) if line.startswith("seeds")), 0)
    message = message.replace("LINE", str(place))
    arguments = [f"--config={config}", f"--input={raw}", f"--output={tmp_path / 'out'}"]
    variables = {"HCLX_DATA_DIR": f"{tmp_path}/none" if code == 65 else None}
    result = launch("build_corpus.py", *arguments, variables=variables)
    assert re.search(message, refused(result, code)) and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_target_and_a_tokenizer(corpus, tokenizer_dirs, tmp_path):
    """A shortage is reported and the token cache is made; the same command reports the same again,
    but not while another one runs.
    """
    raw, config = written_corpus.write(tmp_path)
    sources = {
        name: {**settings, "domain": domain}
        for (name, settings), domain in zip(
            written_corpus.SETTINGS["sources"].items(), ("others", "comments")
        )
    }
    config.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False), encoding="utf-8")
    out = tmp_path / "out"
    command = [
        "build_corpus.py",
        f"--config={config}",
        f"--input={raw}",
        f"--output={out}",
        "--workers=1",
        "--target_tokens=5000",
        f"--tokenizer_dir={tokenizer_dirs['plain']}",
    ]
    first = launch(*command)
    assert first.returncode == 0, first.stderr
    *_, missing, others, comments, unmet, _, cache = first.stdout.splitlines()
    assert re.fullmatch(
        r"The mixture was to have 5,000 tokens, and has [\d,.]+: [\d,]+ are missing\.", missing
    )
    assert (
        comments.startswith("comments gives ")
        and others.startswith("others gives ")
        and "No source belongs to the domains blog, cafe" in unmet
    )
    made = TokenCache(out / "cache")
    assert (
        cache == f"{out}/cache: {made.n_tokens('train'):,} tokens to train on,"
        f" {made.n_tokens('validation'):,} to validate, fingerprint {made.fingerprint[:16]}"
    )
    with Store(str(out)).locked():
        assert "another command is writing to" in refused(launch(*command), 64)
    again = launch(*command)
    assert again.returncode == 0 and again.stdout == first.stdout
    # A changed rule makes the cache again, and a tokenizer that is missing is refused at once.
    sources["talk"]["rules"] = {"too_short": {"min": 30}}
    config.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False), encoding="utf-8")
    changed = launch(*command)
    assert changed.returncode == 0 and "cache is made again" in changed.stderr, changed.stderr
    assert TokenCache(out / "cache").fingerprint != made.fingerprint
    before = (out / "settings.json").read_text()
    config.write_text(yaml.safe_dump({"sources": sources, "seed": 3}), encoding="utf-8")
    command[-1] = f"--tokenizer_dir={tmp_path / 'none'}"
    assert "none" in refused(launch(*command), 65)
    assert (out / "settings.json").read_text() == before


def test_what_follows_two_dashes_is_for_beam(tmp_path):
    argv = ["build_corpus.py", "--config=a", "--", "--runner=FlinkRunner", "--", "x"]
    assert take_after_dashes(argv) == ["--runner=FlinkRunner", "--", "x"] and argv == [
        "build_corpus.py",
        "--config=a",
    ]
    assert take_after_dashes(argv) == [] and len(argv) == 2
    raw, config = written_corpus.write(tmp_path)
    result = launch(
        "build_corpus.py",
        f"--config={config}",
        f"--input={raw}",
        f"--output={tmp_path / 'out'}",
        "--",
        "--runner=FlickRunner",
    )
    assert "Unexpected pipeline runner: FlickRunner" in refused(result, 64)


STAGES = """
import os, time, warnings
from pathlib import Path
from hclx.errors import DataError

def refuse(item):
    print("loud"), warnings.warn("loud")
    raise DataError(f"{item % 1}.jsonl: no text")

def rest(item):
    (Path(os.environ["PIDS"]) / str(os.getpid())).touch()
    time.sleep(60)

def die(item):
    folder = Path(os.environ["PIDS"])
    (folder / str(os.getpid())).touch()
    try:
        (folder / "first").mkdir()
    except FileExistsError:
        time.sleep(60)  # the other worker
    time.sleep(1)
    os.kill(os.getpid(), 9)
"""
MAIN = """
from stages import die, refuse
from hclx.corpus.runner import make_runner
from hclx.errors import DataError
from hclx.launching import run

def main(_):
    try:
        make_runner(workers=2).map(refuse, [1, 2, 3, 4])
    except DataError as error:
        print("refused:", error, flush=True)
    make_runner(workers=2).map(die, [1, 2, 3, 4])

if __name__ == "__main__":
    run(main)
"""


def is_alive(pid: str) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def wait_for_the_end_of(workers: list[str]) -> None:
    end = time.monotonic() + 10
    while any(map(is_alive, workers)):
        assert time.monotonic() < end, "a worker outlived the command"
        time.sleep(0.1)


def test_workers_are_heard_by_their_error_alone_and_end_together(tmp_path):
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "pids").mkdir()
    variables = {
        "PYTHONPATH": f"{environment()['PYTHONPATH']}:{tmp_path}",
        "PIDS": str(tmp_path / "pids"),
    }
    # a pipe would stay open as long as a worker lives
    outputs = {name: tmp_path / name for name in ("stdout", "stderr")}
    with outputs["stdout"].open("w") as stdout, outputs["stderr"].open("w") as stderr:
        result = subprocess.run(
            [sys.executable, str(tmp_path / "main.py")],
            env=environment(variables=variables),
            stdout=stdout,
            stderr=stderr,
            timeout=60,
        )
    result.stdout, result.stderr = (path.read_text() for path in outputs.values())
    assert (
        "a worker process ended (-9); if memory ran out, try fewer --workers" in refused(result, 70)
        and result.stderr.count("\n") == 1
    )
    assert "refused: 0.jsonl: no text\n" in result.stdout
    workers = [path.name for path in (tmp_path / "pids").iterdir() if path.name.isdigit()]
    assert len(workers) == 2
    wait_for_the_end_of(workers)


def test_ctrl_c_ends_the_command_and_its_workers_as_it_ends_any_other(tmp_path):
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "pids").mkdir()
    variables = {
        "PYTHONPATH": f"{environment()['PYTHONPATH']}:{tmp_path}",
        "PIDS": str(tmp_path / "pids"),
    }
    # which a shell may have switched off
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += (
        "from stages import rest; from hclx.corpus.runner import make_runner;"
        " make_runner(workers=2).map(rest, [1, 2, 3, 4])"
    )
    with (tmp_path / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment(variables=variables),
            stderr=stderr,
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while len(workers := [path.name for path in (tmp_path / "pids").iterdir()]) < 2:
        assert process.poll() is None and time.monotonic() < end, (tmp_path / "stderr").read_text()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    said = (tmp_path / "stderr").read_text()
    assert "a worker process ended" not in said and said.endswith("\nKeyboardInterrupt\n")
    wait_for_the_end_of(workers)


def test_workers_do_not_outlive_a_command_that_is_killed(tmp_path):
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "pids").mkdir()
    variables = {
        "PYTHONPATH": f"{environment()['PYTHONPATH']}:{tmp_path}",
        "PIDS": str(tmp_path / "pids"),
    }
    code = (
        "from stages import rest; from hclx.corpus.runner import make_runner;"
        " make_runner(workers=2).map(rest, [1, 2, 3, 4])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(variables=variables))
    end = time.monotonic() + 60
    while len(workers := [path.name for path in (tmp_path / "pids").iterdir()]) < 2:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    wait_for_the_end_of(workers)


def fill(item):
    raise OSError(28, "No space left on device", f"part-{item}")


def stumble(item):
    raise ValueError(item)


def test_a_full_disk_is_a_storage_error_and_a_mistake_stays_what_it_is():
    with pytest.raises(
        StorageError,
        match=(
            r"^cannot write: \[Errno 28\] No space left on device: 'part-7'; free some space and"
            r" run again$"
        ),
    ):
        make_runner(workers=1).map(fill, [7])
    with pytest.raises(ValueError, match="7"):
        make_runner(workers=1).map(stumble, ["7"])
