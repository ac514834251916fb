"""hclx report: what it prints and writes, and its errors."""

from tests.helpers.commands import launch, refused
from tests.helpers.written_results import write, write_run


def test_reports_and_comparisons_of_folders(tmp_path):
    a, b = (
        write(tmp_path / name, [write_run(tmp_path / name, "nsmc", n=20, skill=skill)])
        for name, skill in (("a", 0.5), ("b", 0.8))
    )
    result = launch("report.py", str(a), str(b), f"--output={tmp_path / 'both'}")
    assert result.returncode == 0, result.stderr
    files = [tmp_path / "both" / name for name in ("report.html", "report.csv")]
    assert result.stdout.splitlines() == list(map(str, files))
    assert all(file.stat().st_size > 500 for file in files)
    result = launch("report.py", str(a), f"--compare={b}")
    assert result.returncode == 0, result.stderr
    assert "nsmc  hclx" in result.stdout
    assert result.stdout.splitlines()[-2:] == [str(a / "compare.html"), str(a / "changed.jsonl")]
    error = refused(launch("report.py", str(a), str(b), f"--compare={b}"), 64)
    assert "--compare goes with one folder" in error
    assert "the folder of an evaluation is missing" in refused(launch("report.py"), 64)
    assert "results.json does not exist" in refused(launch("report.py", str(tmp_path)), 65)
    assert "is a file" in refused(launch("report.py", str(a), f"--output={files[0]}"), 64)
