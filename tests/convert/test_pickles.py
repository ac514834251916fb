"""Pickled weights: read without their code, refused otherwise."""

import pickle
import shutil

import pytest

from hclx.convert.importing import look_at
from hclx.convert.pickles import convert_pickles
from hclx.convert.safetensors_files import read_folder
from hclx.errors import DataError
from tests.helpers.families import save_model

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
