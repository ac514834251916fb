"""The head of a model: the file decides whether it is the token embedding, whatever config.json
says or leaves out. The oracle is the model that was saved.
"""

import functools
import json
import shutil

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.convert.exporting import export_model
from hclx.convert.importing import import_model, look_at, read_params
from hclx.parallel import make_mesh
from tests.helpers.families import FAMILIES, make_model
from tests.helpers.family_logits import logits, random_tokens, their_logits

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# One of each family.
NAMES = {family: name for name, (family, _) in reversed(FAMILIES.items())}
QUICK = ("gpt2", "llama")
FEW = [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in sorted(NAMES)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(family, kind of the head) -> (folder, logits of the model that is in it)."""

    @functools.cache
    def make(family, head):
        model = make_model(NAMES[family], tie_word_embeddings=head == "none")
        if head == "equal":
            with torch.no_grad():
                embedding = model.get_input_embeddings().weight
                model.get_output_embeddings().weight.copy_(embedding)
        folder = tmp_path_factory.mktemp("hf")
        model.save_pretrained(folder)
        return folder, their_logits(model, random_tokens())

    return make


@pytest.mark.parametrize("family", FEW)
@pytest.mark.parametrize("head", ["none", "own", "equal"])
def test_the_file_decides(family, head, saved):
    folder, expected = saved(family, head)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for value in (True, False, "silent", None):
        changed = {**content, "tie_word_embeddings": value}
        if value == "silent":
            del changed["tie_word_embeddings"]
        path.write_text(json.dumps(changed))
        source = look_at(folder)
        says = value if isinstance(value, bool) else family in ("gpt2", "gemma3_text")
        assert source.config.tied_head == (head == "none" or (head == "equal" and says))
        notes = {
            ("none", False): "does not tie the head, but the file has no",
            ("own", True): "ties the head, but the file has another",
            ("equal", True): "to which config.json ties it: tied",
            ("equal", False): "equals the embedding, and stays a matrix of its own",
        }
        assert len(source.notes) == ((head, says) in notes)
        assert notes.get((head, says), "") in "".join(source.notes)
        params = read_params(source, make_mesh(MeshConfig(fsdp=1), jax.devices()[:1]))
        ours = logits(params, source.config, random_tokens())
        np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)


def test_an_untied_gpt2_goes_out_again(saved, tmp_path, tokenizer_dirs):
    from transformers import AutoModelForCausalLM

    model = make_model("gpt2", tie_word_embeddings=False, vocab_size=1024)
    model.save_pretrained(tmp_path / "hf")
    shutil.copytree(tokenizer_dirs["plain"], tmp_path / "hf" / "hclx_tokenizer")
    import_model(tmp_path / "hf", tmp_path / "run")
    assert export_model(tmp_path / "run", tmp_path / "out").family == "gpt2"
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="float32").eval()
    tokens = random_tokens()
    np.testing.assert_allclose(their_logits(theirs, tokens), their_logits(model, tokens), atol=1e-5)
