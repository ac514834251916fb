"""A folder of transformers where a command asks for a run: imported once, anew once it changes."""

import os
import shutil

import pytest

from hclx.convert.imported_run import run_of_folder
from hclx.errors import ConfigError, DataError
from hclx.text.new_folder import FolderTakenError, new_folder
from hclx.train.run_dir import read_config
from tests.helpers.commands import launch
from tests.helpers.families import save_model

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path, tokenizer_dirs, monkeypatch):
    """A tiny Llama, and a folder for caches of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "tiny-llama"
    save_model("llama", made, vocab_size=1024)
    shutil.copytree(tokenizer_dirs["plain"], made / "hclx_tokenizer")
    return made


def test_it_is_imported_once_and_anew_after_a_change(folder, tmp_path, caplog):
    run = run_of_folder(folder)
    assert os.path.basename(run) == "tiny-llama", "the name that results and servers show"
    assert read_config(run) is not None
    assert "imported as" in caplog.text
    checkpoint = os.stat(os.path.join(run, "config.json")).st_ino
    assert run_of_folder(f"{folder}/../tiny-llama") == run
    assert os.stat(os.path.join(run, "config.json")).st_ino == checkpoint
    assert run_of_folder(run) == run, "a run stays itself"
    os.utime(folder / "model.safetensors", (1, 1))
    assert run_of_folder(folder) != run


@pytest.mark.long
def test_a_command_reads_it(folder):
    arguments = [f"--model_dir={folder}", "--prompt=글", "--max_tokens=2"]
    result = launch("generate.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert "is of transformers: it is imported as" in result.stderr


def test_a_run_that_another_process_imports_meanwhile_is_used(folder, monkeypatch):
    import hclx.convert.imported_run as module

    def both(source, run):
        with new_folder(run) as other:
            (other / "config.json").write_text("{}")
        raise FolderTakenError("made meanwhile")

    monkeypatch.setattr(module, "import_model", both)
    assert os.listdir(run_of_folder(folder)) == ["config.json"]


def test_bad_folders_and_caches(folder, tmp_path, monkeypatch):
    missing = tmp_path / "missing"
    assert run_of_folder(missing) == str(missing), "the command says that there is no run"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "config.json"))
    with pytest.raises(ConfigError, match="hclx convert import"):
        run_of_folder(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match="model.safetensors"):
        run_of_folder(folder)
    assert not list((tmp_path / "cache").rglob("config.json"))
