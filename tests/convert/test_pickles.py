"""Pickled weights: read without their code, refused otherwise."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from hclx.convert.importing import import_model, look_at
from hclx.convert.pickles import convert_pickles
from hclx.convert.safetensors_files import Writer, read_folder
from hclx.errors import DataError
from hclx.text import load_tokenizer
from hclx.text.export import write_exports
from hclx.train.run_dir import read_config
from tests.helpers.families import save_model
from tests.helpers.killing import needs_proc

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model_and_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    model = save_model("gpt2", folder)
    (folder / "model.safetensors").unlink()
    return model, folder


def test_pickled_weights_are_written_as_safetensors(model_and_folder, tmp_path):
    model, folder = model_and_folder
    source = tmp_path / "in"
    shutil.copytree(folder, source)
    tensors = model.state_dict()
    del tensors["lm_head.weight"]
    tensors["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    names = sorted(tensors)
    for number, part in enumerate((names[:20], names[20:])):
        held = {name: tensors[name] for name in part}
        torch.save(held, source / f"pytorch_model-{number:05d}.bin")
    (source / "chat_template.jinja").write_text("template")
    (tmp_path / "out").mkdir()
    convert_pickles(source, tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "template"
    assert look_at(tmp_path / "out").ignored == ("transformer.h.0.attn.masked_bias",)
    for name, tensor in read_folder(tmp_path / "out").items():
        assert (tensor.read() == tensors[name].numpy()).all()


@needs_proc
def test_a_file_that_is_mapped_is_not_kept_in_memory_and_stays_as_it_is(tmp_path):
    """Tensors of 40 MB, two of which share a storage."""
    first, second = torch.randn(1000, 5000), torch.randn(1000, 5000)
    held = {"a": first, "b": second, "c": first, "d": first[500:]}
    torch.save(held, tmp_path / "pytorch_model.bin")
    before = (tmp_path / "pytorch_model.bin").read_bytes()
    (tmp_path / "out").mkdir()
    mapped = lambda: max(
        (int(line.split()[1]) for line in Path("/proc/self/status").open() if "RssFile" in line)
    )
    at_first, most = mapped(), []
    real = Writer.write

    def write(writer, *arguments):
        real(writer, *arguments)
        most.append(mapped())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "write", write)
        convert_pickles(tmp_path, tmp_path / "out")
    assert max(most) - at_first < 30_000  # kB
    for name, tensor in read_folder(tmp_path / "out").items():
        assert np.array_equal(tensor.read(), held[name].numpy()), name
    assert (tmp_path / "pytorch_model.bin").read_bytes() == before


def test_a_folder_of_pickles_becomes_a_run_without_its_unpacked_copy(tokenizer_dirs, tmp_path):
    source = tmp_path / "some-gpt2"
    model = save_model("gpt2", source, vocab_size=1024)
    (source / "model.safetensors").unlink()
    torch.save(dict(model.state_dict()), source / "pytorch_model.bin")
    write_exports(load_tokenizer(tokenizer_dirs["plain"]), source)
    import_model(source, tmp_path / "run", allow_bin=True)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"checkpoints", "config.json", "model.gin", "tokenizer"}
    assert read_config(tmp_path / "run")["config"]["data"]["mixture"] == "imported from some-gpt2"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "some-gpt2"}


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["code", "truncated", "no dictionary", "no tensor"])
def test_a_pickle_of_anything_else_is_refused(kind, model_and_folder, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    values = {
        "code": {"a": Evil(str(tmp_path / "ran"))},
        "no dictionary": [torch.zeros(1)],
        "no tensor": {"a": 1},
        "truncated": {"a": torch.zeros(1000)},
    }[kind]
    if kind == "code":
        path.write_bytes(pickle.dumps(values))
    else:
        torch.save(values, path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="is refused"):
        convert_pickles(tmp_path, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
