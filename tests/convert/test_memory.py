"""Conversion never has the model in memory, nor on a device, and whatever ends it leaves nothing
that looks like a model.
"""

import resource
import shutil
import subprocess

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.convert import exporting, importing
from hclx.convert.importing import import_model, look_at, read_params
from hclx.convert.safetensors_files import Writer, read_folder
from hclx.errors import ConfigError
from hclx.model import param_specs
from hclx.parallel import make_mesh, named_sharding
from hclx.train.initial_weights import choose_initial_weights, read_initial_weights
from hclx.train.run_dir import read_run
from tests.conftest import ROOT
from tests.helpers.commands import command, environment, launch, refused
from tests.helpers.killing import kill_when, needs_proc
from tests.helpers.peak_memory import take, write_random_llama

N_BYTES = 130_000_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokenizer_dirs):
    """A Llama of 126 MB in 9 layers, and one of half a megabyte."""
    made = {}
    for name, shape in {
        "large": {"layers": 9, "width": 512, "vocabulary": 1024},
        "small": {"layers": 2, "width": 256, "vocabulary": 1024},
    }.items():
        made[name] = tmp_path_factory.mktemp(name)
        n_params = write_random_llama(made[name], shard_bytes=40_000_000, **shape)
        shutil.copytree(tokenizer_dirs["plain"], made[name] / "hclx_tokenizer")
    assert 4 * n_params < N_BYTES
    return made


@pytest.fixture(scope="module")
def imported(folders, tmp_path_factory):
    """The runs of both, and how many bytes each import had in memory."""
    runs, peaks = {}, {}
    for name, folder in folders.items():
        runs[name] = tmp_path_factory.mktemp("run") / "run"
        arguments = ("import", f"--input={folder}", f"--model_dir={runs[name]}")
        peaks[name] = take(command("convert.py", *arguments), env=environment(), cwd=ROOT).peak
    return runs, peaks


def test_an_import_has_a_part_of_the_model_in_memory(imported):
    runs, peaks = imported
    assert peaks["large"] - peaks["small"] < 0.45 * N_BYTES, peaks


def test_an_export_has_a_part_of_the_model_in_memory(imported, folders, tmp_path):
    runs, peaks = imported
    arguments = ("export", f"--model_dir={runs['large']}", f"--output_dir={tmp_path / 'out'}")
    peak = take(command("convert.py", *arguments), env=environment(), cwd=ROOT).peak
    assert peak - peaks["small"] < 0.65 * N_BYTES, (peak, peaks)
    before, after = read_folder(folders["large"]), read_folder(tmp_path / "out")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert np.array_equal(tensor.read(), after[name].read()), name


def bytes_of_devices() -> dict:
    """Bytes of all arrays that are alive, by device."""
    buffers = {  # once each: a shard that was looked at is an array of its own too
        (shard.device, shard.data.unsafe_buffer_pointer()): shard.data.nbytes
        for array in jax.live_arrays()
        for shard in array.addressable_shards
    }
    held = dict.fromkeys(jax.devices(), 0)
    for (device, _), n_bytes in buffers.items():
        held[device] += n_bytes
    return held


def test_no_device_holds_more_than_its_part_while_a_model_is_read(folders, monkeypatch):
    source, mesh, most = look_at(folders["small"]), make_mesh(MeshConfig()), []
    real, before = importing._finite, max(bytes_of_devices().values())

    def watched(*arguments):
        most.append(max(bytes_of_devices().values()))
        return real(*arguments)

    monkeypatch.setattr(importing, "_finite", watched)
    params = read_params(source, mesh)
    whole = sum(array.nbytes for array in jax.tree.leaves(params))
    most.append(max(bytes_of_devices().values()))
    assert len(mesh.devices.flat) == 8 and max(most) - before < 0.15 * whole, (most, whole)
    for rule in importing.rules(source.config, source.family):
        if "{n}" not in rule.theirs[0]:
            head, _, leaf = rule.ours[0].rpartition("/")
            expected = source.tensors[rule.theirs[0]].read()
            assert np.array_equal(params[head][leaf], expected)


@pytest.mark.parametrize(
    "config", [pytest.param(MeshConfig(), marks=pytest.mark.long), MeshConfig(fsdp=4, model=2)]
)
def test_a_run_begins_with_an_import_of_which_each_device_has_its_part(config, imported, folders):
    runs, _ = imported
    model, mesh = read_run(runs["small"])[0].model, make_mesh(config)
    abstract = jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct(
            spec.shape, "float32", sharding=named_sharding(mesh, spec.axes)
        ),
        param_specs(model),
    )
    before = bytes_of_devices()
    chosen = choose_initial_weights(None, str(runs["small"]), model)
    params = read_initial_weights(chosen, abstract)
    whole = sum(array.nbytes for array in jax.tree.leaves(params))
    for device, n_bytes in bytes_of_devices().items():
        assert n_bytes - before[device] < 0.15 * whole
    expected = read_params(look_at(folders["small"]), mesh)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, expected))


@needs_proc
@pytest.mark.parametrize("what", ["import", pytest.param("export", marks=pytest.mark.long)])
def test_a_conversion_that_is_killed_leaves_nothing_that_looks_finished(
    what, folders, imported, tmp_path
):
    target = tmp_path / "made"
    if what == "import":
        arguments = (what, f"--input={folders['large']}", f"--model_dir={target}")
        begun = "checkpoints/*/params*/*"
    else:
        arguments = (what, f"--model_dir={imported[0]['large']}", f"--output_dir={target}")
        begun = "*.safetensors"
    process = subprocess.Popen(
        command("convert.py", *arguments), env=environment(), cwd=ROOT, start_new_session=True
    )
    kill_when(process, Appearing(tmp_path, f".made.*/{begun}"), 0.1)
    assert not target.exists() and list(tmp_path.iterdir())
    result = launch("convert.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


class Appearing:
    """A path of which only a pattern is known."""

    def __init__(self, folder, pattern):
        self._folder, self._pattern = folder, pattern

    def exists(self) -> bool:
        return any(self._folder.glob(self._pattern))


@pytest.mark.parametrize("what", ["import", "export"])
def test_a_full_disk_is_one_line_and_leaves_nothing(what, folders, imported, tmp_path):
    source = folders["large"] if what == "import" else imported[0]["large"]
    flags = ("input", "model_dir") if what == "import" else ("model_dir", "output_dir")
    arguments = [f"--{flag}={path}" for flag, path in zip(flags, (source, tmp_path / "made"))]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    options = {"env": environment(), "cwd": ROOT, "capture_output": True, "text": True}
    started = command("convert.py", what, *arguments)
    result = subprocess.run(started, preexec_fn=limit, **options)
    message = refused(result, 74)
    assert str(tmp_path) in message and "File too large" in message, message
    assert not list(tmp_path.iterdir())


def test_a_value_that_float16_cannot_hold_is_refused(tmp_path):
    writer = Writer(tmp_path, {"a": (2, 2)}, "float16")
    with pytest.raises(ConfigError, match="a holds 70000, and float16 ends at 65504"):
        writer.write("a", np.array([[1, -70_000], [0, 3]], np.float32))


def test_progress_is_of_all_bytes(folders, tmp_path, monkeypatch):
    bars = []

    class Bar(importing.ProgressBar):
        def __init__(self, total, *others):
            super().__init__(total, *others)
            bars.append([total, 0])

        def update(self, count=1, note=""):
            bars[-1][1] += count

    monkeypatch.setattr(importing, "ProgressBar", Bar)
    monkeypatch.setattr(exporting, "ProgressBar", Bar)
    import_model(folders["small"], tmp_path / "run")
    exporting.export_model(tmp_path / "run", tmp_path / "out")
    assert len(bars) == 2 and all(total == count for total, count in bars) and bars[0][0] > 1e5
