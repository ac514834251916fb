"""The folder of a run: what may be removed."""

import pytest

from hclx.errors import ConfigError
from hclx.train.run_dir import FILE, remove_run


def test_only_a_run_is_removed(tmp_path):
    run, begun, other = (tmp_path / name for name in ("run", "begun", "other"))
    remove_run(run)  # there is none
    for folder in (run / "checkpoints", begun / "tokenizer", begun / ".cache.x", other / "letters"):
        folder.mkdir(parents=True)
    (run / FILE).write_text("{}", encoding="utf-8")
    remove_run(run)
    remove_run(begun)
    for folder in (other, tmp_path):
        with pytest.raises(ConfigError, match="holds something other than a run"):
            remove_run(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["other"] and (other / "letters").is_dir()
