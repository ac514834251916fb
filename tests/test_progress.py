"""The progress bar: what it writes to a log, and that it stays silent where it is told to."""

import fcntl
import gzip
import logging
import os
import re
import struct
import termios
from collections import Counter

import pytest

from hclx import progress
from hclx.progress import ProgressBar, counted, size_in_words, tracked_files
from hclx.text.documents import read_documents


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


def test_one_of_a_thing_is_no_plural(clock, caplog):
    assert [counted(n, "file") for n in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
    assert (
        counted(1, "batch", "batches") == "1 batch" and counted(2, "batch", "batches")[-2:] == "es"
    )
    for total, expected in ((1, "1 of 1 file in"), (None, "1 file in")):
        with ProgressBar(total, "reading", "file") as bar:
            clock[0] += 40.0
            bar.update()
        assert caplog.messages[-1].startswith(f"reading: {expected} 40 s")


def test_a_size_has_the_unit_that_fits_it():
    sizes = {0: "0 bytes", 1: "1 byte", 999: "999 bytes", 30_083: "30.1 KB", 999_999: "1.0 MB"}
    sizes |= {2_500_000_000: "2.5 GB", 40_960 * 10**8: "4.1 TB"}
    assert {size: size_in_words(size) for size in sizes} == sizes


def test_a_slow_start_is_told_at_once_and_left_out_of_the_estimate(clock, caplog):
    with ProgressBar(100, "pretrain", "step", slow_start=True) as bar:
        clock[0] = 60.0
        bar.update(note="loss 6.1")
        for seconds in (62.0, 66.0, 70.0):
            clock[0] = seconds
            bar.update(note="loss 6.0")
    assert caplog.messages == [
        "pretrain: 1 of 100 steps in 60 s, loss 6.1",
        "pretrain: 3 of 100 steps in 66 s, 291 s left, loss 6.0",
    ]


def test_work_of_days_gets_rarer_lines_with_longer_units(clock, caplog):
    with ProgressBar(20_000, "pretrain", "step") as bar:
        for clock[0] in range(0, 432_000, 43):  # 10,000 steps in 5 days
            bar.update()
    assert caplog.messages[-1].endswith("steps in 5.0 days, 5.0 days left")
    assert 432_000 / 600 < len(caplog.messages) < 1_500


def test_an_unknown_total_has_no_time_left(clock, caplog):
    with ProgressBar(None, "reading", "line") as bar:
        clock[0] = 31.0
        bar.update(5_000)
    assert caplog.messages == ["reading: 5,000 lines in 31 s"]


def test_files_are_counted_in_bytes_of_what_lies_on_disk(clock, caplog, tmp_path):
    """Of two files, one of them compressed: after the first one the time left is by their sizes."""
    (tmp_path / "a.txt").write_text("가" * 1_000, encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(os.urandom(1_000).hex().encode()))
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt.gz")]
    size, counts = sum(map(os.path.getsize, paths)), Counter()
    documents = tracked_files(read_documents(paths, counts=counts), counts, size, "tokens")
    for seconds, _ in zip((30.0, 60.0), documents):
        clock[0] = seconds
    list(documents)
    left = 30 / 3_000 * (size - 3_000)
    assert caplog.messages[0] == f"tokens: 3,000 of {size:,} bytes in 30 s, {left:.0f} s left"
    assert caplog.messages[1] == f"tokens: {size:,} of {size:,} bytes in 60 s, 0 s left"


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


@pytest.mark.parametrize("size", [(0, 0), (24, 100)])
def test_a_bar_counts_in_whole_numbers_whatever_size_the_terminal_reports(size, monkeypatch):
    reader, writer = os.openpty()
    os.set_blocking(reader, False)
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    with os.fdopen(writer, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        with ProgressBar(3, "read", "file"):
            drawn = os.read(reader, 10_000).decode()
    os.close(reader)
    assert re.search(r"read: +0%\| +\| 0/3 \[", drawn), drawn
