"""Import and export: the same tensors, the same logits in transformers, the same ids."""

import json

import numpy as np
import pytest

from hclx.convert.exporting import export_model
from hclx.convert.importing import import_model
from hclx.convert.inspecting import describe
from hclx.convert.safetensors_files import read_folder
from hclx.errors import ConfigError
from hclx.text import load_tokenizer
from hclx.train.jsonl import replace_text
from hclx.train.run_dir import read_config
from tests.helpers.families import FAMILIES, save_model
from tests.helpers.family_logits import load, logits, random_tokens, their_logits

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
# Each of the ways in which tensors become parameters.
ROUND = ["gpt2", "gpt_neox", "llama tied", "qwen2 windows", "gemma3_text"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory, tokenizer_dirs):
    """name -> (model of transformers, its folder, the run)."""
    done = {}

    def get(name):
        if name not in done:
            folder = tmp_path_factory.mktemp("hf")
            model = save_model(name, folder, vocab_size=1024)
            own = folder / "hclx_tokenizer"
            own.symlink_to(tokenizer_dirs["plain"])
            run = tmp_path_factory.mktemp("run") / "run"
            import_model(folder, run)
            done[name] = model, folder, run
        return done[name]

    return get


@pytest.mark.parametrize("name", ROUND)
def test_the_export_of_an_import_is_the_same(name, imported, tmp_path):
    model, folder, run = imported(name)
    made = export_model(run, tmp_path / "out", family=FAMILIES[name][0])
    before, after = read_folder(folder), read_folder(tmp_path / "out")
    assert before.keys() == after.keys() and made.n_params > 0
    for key, tensor in before.items():
        values, exported = tensor.read(), after[key].read()
        if name == "gemma3_text" and values.ndim == 1:  # one is added, and taken away again
            np.testing.assert_allclose(exported, values, atol=1e-7)
        else:
            assert values.tobytes() == exported.tobytes(), key
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", dtype="float32", attn_implementation="eager"
    )
    tokens = torch.tensor(np.random.default_rng(0).integers(0, 1024, (1, 64)))
    with torch.no_grad():
        difference = (model(tokens).logits - theirs.eval()(tokens).logits).abs().max()
    assert difference < 1e-4


def test_an_export_in_shards_is_read_by_transformers(imported, tmp_path, monkeypatch):
    model, _, run = imported("llama tied")
    monkeypatch.setattr("hclx.convert.exporting.SHARD_BYTES", 60_000)
    export_model(run, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 3
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="float32")
    for key, value in model.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key])


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "qwen2 windows", "llama tied"])
def test_transformers_gives_the_ids_of_our_tokenizer(name, imported, tmp_path, sample_texts):
    _, _, run = imported(name)
    export_model(run, tmp_path / "out", family=FAMILIES[name][0])
    own = load_tokenizer(run / "tokenizer")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    odd = [
        "",
        " ",
        "  두 칸",
        "\t\n",
        "🙂👨‍👩‍👧",
        "\x00\x07",
        "<|endoftext|><pad>",
        "e\u0301",
        "\u3000",
    ]
    for text in [*odd, *sample_texts[:300]]:
        assert theirs(text, add_special_tokens=False)["input_ids"] == own.encode(text), text
        # what a server gives the model: the text as training showed it
        assert theirs(text)["input_ids"] == [*own.begin_ids, *own.encode(text)], text
    assert theirs.eos_token_id == own.eod_id and theirs.pad_token_id == own.pad_id


def test_the_tokenizer_of_a_qwen2_folder_may_be_trusted(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "mods")
    )
    _, _, run = imported("qwen2 windows")
    export_model(run, tmp_path / "out", family="qwen2")
    own, text = load_tokenizer(run / "tokenizer"), "  두 칸과 3,000원\n\n그리고 e\u0301"
    for trust in (False, True):
        theirs = transformers.AutoTokenizer.from_pretrained(
            tmp_path / "out", trust_remote_code=trust
        )
        assert theirs(text)["input_ids"] == [*own.begin_ids, *own.encode(text)]


def test_what_has_no_counterpart_is_refused_by_name(imported, tmp_path):
    _, _, run = imported("gpt2")
    run_json = read_config(run)
    for field, value in (("qk_norm", True), ("embedding_norm", True)):
        changed = json.loads(json.dumps(run_json))
        changed["config"]["model"][field] = value
        folder = tmp_path / field
        folder.mkdir()
        replace_text(folder / "config.json", json.dumps(changed))
        with pytest.raises(ConfigError, match=f"ModelConfig.{field}=True has no counterpart"):
            export_model(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_export_does_not_overwrite(imported, tmp_path):
    _, _, run = imported("gpt2")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not empty"):
        export_model(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_heads_that_do_not_divide_the_model(tmp_path, tokenizer_dirs, monkeypatch):
    """As those of Kanana: 24 heads of 128 over 1,792. transformers refuses its configuration."""
    monkeypatch.setattr(transformers.LlamaConfig, "__class_validators__", [])
    sizes = {"vocab_size": 1024, "hidden_size": 56, "num_attention_heads": 6, "head_dim": 16}
    model = save_model("llama", tmp_path / "hf", **sizes)
    (tmp_path / "hf" / "hclx_tokenizer").symlink_to(tokenizer_dirs["plain"])
    source, _ = import_model(tmp_path / "hf", tmp_path / "run")
    assert source.config.d_head == 16
    params = load(tmp_path / "hf")[1]
    tokens = random_tokens()
    ours = logits(params, source.config, tokens)
    np.testing.assert_allclose(ours, their_logits(model, tokens), atol=1e-4, rtol=0)
    made = export_model(tmp_path / "run", tmp_path / "out")
    assert "refuses a llama of hidden_size=56 with 6 heads" in made.note
    before, after = read_folder(tmp_path / "hf"), read_folder(tmp_path / "out")
    assert all(after[name].equals(tensor) for name, tensor in before.items())


def test_a_folder_is_described_without_its_weights(imported):
    _, folder, _ = imported("qwen2 windows")
    lines = describe(folder)
    assert lines[0] == "family      qwen2" and "window=16" in lines[1]
    assert "1,024 tokens" in "".join(lines)
