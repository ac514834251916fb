"""Compiled programs on disk: a second start finds those of the first, and a folder that cannot be
written is no error.
"""

import jax
import pytest

from hclx.train.compilation_cache import keep_compiled_programs
from tests.helpers.commands import TINY, launch
from tests.helpers.runs import numbers

HIT = "Persistent compilation cache hit for 'jit_train_step'"


@pytest.fixture
def unset():
    """JAX without a folder, and as it was afterwards."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.long
def test_a_second_start_finds_the_programs_of_the_first(tmp_path):
    variables = {
        "JAX_COMPILATION_CACHE_DIR": None,
        "XDG_CACHE_HOME": str(tmp_path / "home"),
        # JAX keeps what takes a second; this machine may be fast
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_LOG_COMPILES": "1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles faster
    }

    def start(name):
        short = ["--gin.TrainConfig.total_steps=6", "--gin.TrainConfig.eval_every=0"]
        arguments = [f"--model_dir={tmp_path / name}", *short, "--verbosity=0"]
        data = [
            f"--gin.DataConfig.{kind}_dir={tmp_path / 'first' / kind}"
            for kind in ("tokenizer", "cache")
        ]
        result = launch("pretrain.py", *TINY, *arguments, *data, variables=variables)
        assert result.returncode == 0, result.stderr
        files = {path.name for path in (tmp_path / "home" / "hclx" / "xla").iterdir()}
        return files, HIT in result.stderr, numbers(tmp_path / name)

    first_files, cache_hit, first = start("first")
    assert any(name.startswith("jit_train_step") for name in first_files) and not cache_hit
    second_files, cache_hit, second = start("second")
    assert cache_hit and second_files == first_files
    assert second == first


def test_the_setting_of_jax_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    assert before is not None and keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir == before and not list(tmp_path.iterdir())


def test_a_folder_in_the_users_cache(unset, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keep_compiled_programs() == tmp_path / "hclx" / "xla"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "hclx" / "xla")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    jax.config.update("jax_compilation_cache_dir", None)
    assert keep_compiled_programs() == tmp_path / "home" / ".cache" / "hclx" / "xla"


def test_a_folder_that_cannot_be_written_is_done_without(unset, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir is None
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/file/hclx/xla cannot be written: compiled programs are not kept;"
        " JAX_COMPILATION_CACHE_DIR names another"
    ]
