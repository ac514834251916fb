"""The folder of a run: what may be removed, and the versions that are recorded."""

import json
from importlib import metadata

import pytest

import hclx
from hclx.errors import ConfigError
from hclx.train.run_dir import FILE, describe_run, remove_run, versions
from tests.helpers.meshes import ONE, experiment


def test_only_a_run_of_the_mixture_is_removed(tmp_path):
    run, other_run, model, letters = (tmp_path / name for name in ("run", "other", "model", "text"))
    described = describe_run(experiment(ONE), "t", {})
    elsewhere = {**described, "config": {**described["config"]}}
    elsewhere["config"]["data"] = described["config"]["data"] | {"mixture": "kowiki"}
    contents = {
        run: json.dumps(described),
        other_run: json.dumps(elsewhere),
        model: json.dumps({"model_type": "llama"}),
        letters: "{",
    }
    for folder, text in contents.items():
        (folder / "tokenizer").mkdir(parents=True)
        (folder / FILE).write_text(text, encoding="utf-8")
    remove_run(run, "sample")
    assert not run.exists()
    for folder in (other_run, model, letters, tmp_path, letters / FILE):
        with pytest.raises(ConfigError, match="--model_dir=.*, and is not removed"):
            remove_run(folder, "sample")
    assert all((folder / FILE).is_file() for folder in (other_run, model, letters))


def test_what_a_run_begins_with_is_kept(tmp_path):
    remove_run(tmp_path / "missing", "sample")
    for name in ("tokenizer", "cache", ".git"):
        (tmp_path / name).mkdir()
        remove_run(tmp_path, "sample")
        assert (tmp_path / name).is_dir()


def test_a_package_that_is_only_on_the_import_path_has_no_version(monkeypatch):
    def absent(package):
        raise metadata.PackageNotFoundError(package)

    assert "unknown" not in versions().values()
    monkeypatch.setattr(metadata, "version", absent)
    unknown = {name for name, version in versions().items() if version == "unknown"}
    assert {"jax", "numpy"} <= unknown and versions()["hclx"] == hclx.__version__
