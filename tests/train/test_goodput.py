"""Goodput of a made-up run whose answer is known by hand, and events that are read back."""

import datetime

import pytest

from hclx.train.events import EventLog, read_events
from hclx.train.goodput import CAUSES, goodput, write_goodput

ZERO = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def at(when, event, **fields):
    return {
        "time": (ZERO + datetime.timedelta(seconds=when)).isoformat(),
        "event": event,
        "process": 0,
        **fields,
    }


# 10 s to start, 100 steps of 1 s, 10 s of saving between; killed after step 100, whose last save
# was 80. Twenty seconds later it starts again, takes 5 s to its first step, and ends at 180; of its
# 100 steps 10 were skipped.
RUN = [
    at(10, "start", seconds=10.0, previous=None),
    at(10, "begin", step=0),
    at(10, "first_step", step=1),
    at(100, "save", step=80),
    at(
        140,
        "start",
        seconds=0.0,
        previous={"time": ZERO.timestamp() + 120, "step": 100, "spent": {"saving": 10.0}},
    ),
    at(142, "restore", step=80),
    at(145, "first_step", step=81),
    *(at(150 + i, "skip", step=90 + i) for i in range(10)),
    at(245, "exit", step=180, code=0, spent={"saving": 0.0}),
]
EXPECTED = {
    "wall": 245.0, "start_up": 15.0, "evaluation": 0.0, "saving": 10.0, "redone": 20.0,
    "skipped": 10.0, "down": 20.0,
    "productive": 80.0 + 90.0,
}  # fmt: skip


def test_every_second_has_one_cause():
    report = goodput(RUN)
    assert report.pop("goodput") == pytest.approx(170 / 245)
    assert report == pytest.approx(EXPECTED)
    assert sum(report[name] for name in CAUSES) == pytest.approx(report["wall"])


def test_a_clock_that_is_set_back_and_set_right_again_takes_and_gives_no_time():
    day = 86_400
    back = [at(10, "start", seconds=10.0), at(10, "first_step", step=1), at(50, "save", step=40)]
    back += [at(60 - day, "save", step=50), at(160 - day, "exit", step=150, code=75)]
    back += [at(180, "start", seconds=0.0), at(180, "restore", step=150)]
    back += [at(190, "first_step", step=151), at(240, "exit", step=200, code=0)]
    report = goodput(back)
    assert all(value >= 0 for value in report.values())
    assert report["productive"] == pytest.approx(40 + 100 + 50, abs=11)
    assert report["wall"] == pytest.approx(240, abs=11)


def test_the_time_after_the_end_and_a_command_that_finds_the_run_done_are_not_lost():
    again = [at(9_000, "start", seconds=5.0), at(9_001, "restore", step=180)]
    again.append(at(9_002, "exit", step=180, code=0))
    assert goodput([*RUN, *again]) == goodput(RUN)
    longer = [at(9_000, "start", seconds=0.0), at(9_000, "restore", step=180)]
    longer += [at(9_000, "first_step", step=181), at(9_050, "exit", step=230, code=0)]
    assert goodput([*RUN, *longer])["down"] == goodput(RUN)["down"]


def test_a_run_that_has_no_events_yet():
    assert goodput([])["goodput"] == 0.0 and goodput(RUN[:1])["start_up"] == 10.0


def test_events_are_appended_and_a_line_that_was_cut_is_none(tmp_path):
    log = EventLog(tmp_path, process=1)
    log.write("start", text="글")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "sa')
    assert [(e["event"], e["process"], e["text"]) for e in read_events(tmp_path)] == [
        ("start", 1, "글")
    ]


def test_the_summary_says_what_was_lost(tmp_path):
    log = EventLog(tmp_path)
    log.write("start", seconds=50.0, previous=None)
    log.write("exit", step=0, code=65, spent={})
    assert "start-up 50 s" in write_goodput(tmp_path) and (tmp_path / "goodput.json").is_file()


def test_a_full_disk_ends_nothing(tmp_path, caplog):
    assert write_goodput(tmp_path / "gone") and "goodput.json" in caplog.text
    EventLog(tmp_path / "gone").write("save", step=1)
    assert "cannot write" in caplog.text and '"event": "save"' in caplog.text
