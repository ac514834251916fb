"""Folders that are damaged or lie: each is refused with 65 or 64, names what is wrong, and leaves
nothing behind.
"""

import json
import shutil
import struct
import tracemalloc

import numpy as np
import pytest

from hclx.convert.importing import import_model
from hclx.errors import ConfigError, DataError
from tests.helpers.families import save_model

pytest.importorskip("torch")
pytest.importorskip("transformers")
ONE, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory, tokenizer_dirs):
    """A tiny Llama in one file and in shards, each with a tokenizer."""
    folders = {}
    for kind, size in (("one", "1GB"), ("sharded", "30KB")):
        folder = tmp_path_factory.mktemp(kind)
        save_model("llama", folder, vocab_size=1024).save_pretrained(folder, max_shard_size=size)
        if kind == "sharded":
            (folder / ONE).unlink()
        shutil.copytree(tokenizer_dirs["plain"], folder / "hclx_tokenizer")
        folders[kind] = folder
    return folders


def header(path):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write(path, head, values, length=None):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + values)


def edit_header(change):
    def damage(folder):
        head, values = header(folder / ONE)
        write(folder / ONE, change(head) or head, values)

    return damage


def edit_config(**fields):
    def damage(folder):
        path = folder / "config.json"
        config = {**json.loads(path.read_text()), **fields}
        path.write_text(json.dumps({k: v for k, v in config.items() if v != "removed"}))

    return damage


def edit_index(change):
    def damage(folder):
        path = folder / INDEX
        index = json.loads(path.read_text())
        path.write_text(json.dumps(change(index) or index))

    return damage


def set_entry(**fields):
    return edit_header(lambda head: head["model.norm.weight"].update(fields))


def rename(head):
    head["model.norm.weightX"] = head.pop("model.norm.weight")


def not_finite(folder):
    head, values = header(folder / ONE)
    values = bytearray(values)
    begin = head["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0]
    values[begin : begin + 4] = np.float32("nan").tobytes()
    write(folder / ONE, head, bytes(values))


def truncate(n):
    return lambda folder: (folder / ONE).write_bytes((folder / ONE).read_bytes()[:n])


def extra_shard_entry(index):
    first = next(iter(index["weight_map"].values()))
    index["weight_map"]["model.extra.weight"] = first


def shards(folder):
    return sorted(folder.glob("model-*.safetensors"))


def swap_files(index):
    names = sorted(set(index["weight_map"].values()))
    index["weight_map"]["model.norm.weight"] = next(
        name for name in names if name != index["weight_map"]["model.norm.weight"]
    )


DUPLICATE = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}'
BROKEN = {
    "no weights": ("one", lambda f: (f / ONE).unlink(), "neither model.safetensors nor"),
    "an empty file": ("one", truncate(0), "no safetensors file, or is truncated"),
    "a truncated length": ("one", truncate(5), "no safetensors file, or is truncated"),
    "a truncated header": ("one", truncate(100), "no safetensors file, or is truncated"),
    "truncated values": ("one", truncate(-10), "its header describes"),
    "values too many": (
        "one",
        lambda f: (f / ONE).open("ab").write(b"0000"),
        "its header describes",
    ),
    "a huge header": ("one", lambda f: write(f / ONE, {}, b"", 1 << 62), "no safetensors file"),
    "no JSON": ("one", lambda f: write(f / ONE, b"{,}", b""), "header cannot be read"),
    "a list": ("one", lambda f: write(f / ONE, [], b""), "no JSON object"),
    "deep JSON": ("one", lambda f: write(f / ONE, b"[" * 100_000, b""), "header cannot be read"),
    "a name twice": ("one", lambda f: write(f / ONE, DUPLICATE, b"0000"), "'a' occurs twice"),
    "a huge tensor": ("one", set_entry(shape=[1 << 40, 1 << 40]), "does not have the size"),
    "a negative shape": ("one", set_entry(shape=[-48]), "is no tensor"),
    "no shape": ("one", set_entry(shape=None), "is no tensor"),
    "offsets that overlap": ("one", set_entry(data_offsets=[0, 192]), "overlap others"),
    "offsets turned round": ("one", set_entry(data_offsets=[192, 0]), "does not have the size"),
    "an unknown dtype": ("one", set_entry(dtype="I8"), "has dtype I8"),
    "a renamed tensor": ("one", edit_header(rename), "lacks model.norm.weight"),
    "another shape": (
        "one",
        edit_config(intermediate_size=40),
        r"has shape \[80, 48\], and by config.json it must be \[40, 48\]",
    ),
    "more layers": ("one", edit_config(num_hidden_layers=4), "lacks model.layers.3"),
    "fewer layers": ("one", edit_config(num_hidden_layers=2), "holds tensors that are no part"),
    "not finite": ("one", not_finite, "up_proj.weight holds values that are not finite"),
    "no config.json": ("one", lambda f: (f / "config.json").unlink(), "does not exist"),
    "config.json is no JSON": (
        "one",
        lambda f: (f / "config.json").write_text("{"),
        "config.json cannot be read",
    ),
    "a missing field": ("one", edit_config(hidden_size="removed"), "has no hidden_size"),
    "no heads": ("one", edit_config(num_attention_heads=0), "a whole number, from 1 to 10,000"),
    "a billion layers": (
        *("one", edit_config(num_hidden_layers=10**9)),
        "a whole number, from 1 to 10,000",
    ),
    "a field of another type": (
        "one",
        edit_config(num_hidden_layers="3"),
        "num_hidden_layers='3' is not a whole number",
    ),
    "heads that do not fit": ("one", edit_config(num_key_value_heads=3), "does not divide"),
    "an unknown family": ("one", edit_config(model_type="mamba"), "model_type='mamba'"),
    "a mixture of experts": ("one", edit_config(num_local_experts=8), "mixture of experts"),
    "quantised": ("one", edit_config(quantization_config={"bits": 4}), "quantised"),
    "an unknown rope": (
        "one",
        edit_config(rope_parameters={"rope_type": "longrope", "factor": 2.0}),
        "rope_type='longrope' is not supported",
    ),
    "no tokenizer": ("one", lambda f: shutil.rmtree(f / "hclx_tokenizer"), "its tokenizer"),
    "a missing shard": ("sharded", lambda f: shards(f)[1].unlink(), "is missing"),
    "a truncated shard": (
        "sharded",
        lambda f: shards(f)[0].write_bytes(shards(f)[0].read_bytes()[:-4]),
        "its header describes",
    ),
    "a path outside": (
        "sharded",
        edit_index(lambda i: i["weight_map"].update({"model.norm.weight": "../x.safetensors"})),
        "no file of this folder",
    ),
    "another shard than the index says": ("sharded", edit_index(swap_files), "says"),
    "a tensor that is nowhere": ("sharded", edit_index(extra_shard_entry), "does not hold"),
    "an index without a map": ("sharded", edit_index(lambda i: {"a": 1}), "no weight_map"),
    "an index that is no JSON": (
        "sharded",
        lambda f: (f / INDEX).write_text("{"),
        "cannot be read",
    ),
    "one file and an index": (
        "sharded",
        lambda f: shutil.copyfile(shards(f)[0], f / ONE),
        "has both",
    ),
    "a pickle": (
        "one",
        lambda f: (f / ONE).rename(f / "pytorch_model.bin"),
        "only pytorch_model.bin, which is a pickle",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_and_leaves_nothing(name, good, tmp_path):
    kind, damage, message = BROKEN[name]
    folder = tmp_path / "hf"
    shutil.copytree(good[kind], folder)
    damage(folder)
    tracemalloc.start()
    with pytest.raises((ConfigError, DataError), match=message):
        import_model(folder, tmp_path / "run")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_a_file_in_place_of_a_folder_is_refused(good, tmp_path):
    with pytest.raises(DataError, match="config.json is no folder; give the folder of a model"):
        import_model(good["one"] / "config.json", tmp_path / "run")


@pytest.mark.parametrize("kind", ["one", "sharded"])
def test_the_folders_that_were_broken_were_good(kind, good, tmp_path):
    source, _ = import_model(good[kind], tmp_path / "run")
    assert source.family == "llama" and (tmp_path / "run" / "checkpoints" / "0").is_dir()
