"""The progress bar: what it writes to a log, and that it stays silent where it is told to."""

import logging

import pytest

from hclx import progress
from hclx.progress import ProgressBar


@pytest.fixture
def clock(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="hclx.progress")
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_with_the_time_left(clock, caplog):
    with ProgressBar(100, "tokens", "document") as bar:
        bar.update(10)
        assert not caplog.messages
        clock[0] = 40.0
        bar.update(10)
        bar.update(1)
    assert caplog.messages == ["tokens: 20 of 100 documents in 40 s, 160 s left"]


def test_an_unknown_total_has_no_time_left(clock, caplog):
    with ProgressBar(None, "reading", "line") as bar:
        clock[0] = 31.0
        bar.update(5_000)
    assert caplog.messages == ["reading: 5,000 lines in 31 s"]


def test_other_processes_are_silent(clock, caplog):
    with ProgressBar(2, "tokens", "document", enabled=False) as bar:
        clock[0] = 100.0
        bar.update()
    assert not caplog.messages


def test_a_terminal_gets_a_bar_and_no_lines(clock, caplog, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with ProgressBar(2, "tokens", "document") as bar:
        clock[0] = 100.0
        bar.update()
    assert not caplog.messages and "tokens" in capsys.readouterr().err
