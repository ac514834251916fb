"""Artefacts: what is written is read, and nothing else is taken for it."""

import dataclasses
import json
import struct

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig, ModelConfig
from hclx.errors import ConfigError, DataError
from hclx.model import logical_axes
from hclx.parallel import make_mesh, named_sharding
from hclx.train.fingerprint import fingerprint
from hclx.tune import TuneConfig, begin, trainable_bytes
from hclx.tune.artefact import (
    Artefact,
    base_fingerprint,
    check_artefact,
    read_artefact,
    write_artefact,
)
from hclx.tune.trainable import count_trainable
from tests.helpers.decoder import drawn_params

MODEL = ModelConfig(vocab_size=64, n_layers=2, d_model=16, n_heads=4, kv_heads=2, max_length=32)
CONFIGS = {
    "prompt_tune": TuneConfig(kind="prompt_tune", length=3, init="random"),
    "p_tune": TuneConfig(kind="p_tune", length=3),
    "p_tune mlp": TuneConfig(kind="p_tune", length=3, encoder="mlp"),
    "prefix_tune": TuneConfig(kind="prefix_tune", length=3, init="random"),
    "prefix_tune mlp": TuneConfig(kind="prefix_tune", length=3, reparameterise=True),
    "lora": TuneConfig(kind="lora", rank=2, targets="q,v,out,wi,wo", dropout=0.1, rs_lora=True),
}


@pytest.fixture(scope="module")
def base():
    return jax.device_get(drawn_params(MODEL))


def artefact_of(base, name="lora"):
    trainable, _ = begin(MODEL, CONFIGS[name], base)
    return Artefact(
        CONFIGS[name],
        jax.device_get(trainable["tune"]),
        MODEL,
        base_fingerprint(fingerprint(base)),
        "v" * 64,
        prompt={"format": 1, "template": "리뷰: {text}"},
        data="d" * 64,
        metrics={"accuracy": 0.875},
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_read(name, base, tmp_path):
    artefact, path = artefact_of(base, name), tmp_path / "tuned.safetensors"
    write_artefact(path, artefact)
    read = read_artefact(path)
    jax.tree.map(np.testing.assert_array_equal, read.tune, artefact.tune)
    same = dataclasses.replace(read, tune=artefact.tune)
    assert same == artefact
    sizes = sum(x.nbytes for x in jax.tree.leaves(artefact.tune))
    assert (
        sizes == trainable_bytes(MODEL, CONFIGS[name]) == 4 * count_trainable(MODEL, CONFIGS[name])
    )
    assert sizes < path.stat().st_size < sizes + 8_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_programs_read_its_tensors(base, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    artefact, path = artefact_of(base), tmp_path / "tuned.safetensors"
    write_artefact(path, artefact)
    with safetensors.safe_open(path, "np") as file:
        np.testing.assert_array_equal(file.get_tensor("q/a"), artefact.tune["q"]["a"])
        assert json.loads(file.metadata()["hclx"])["kind"] == "lora"


def test_every_flipped_bit_is_noticed(base, tmp_path):
    artefact, path = artefact_of(base, "prompt_tune"), tmp_path / "tuned.safetensors"
    write_artefact(path, artefact)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            read = read_artefact(path)
        except DataError:
            continue
        # It is a blank, or another spelling of the same character.
        assert dataclasses.replace(read, tune=artefact.tune) == artefact
        np.testing.assert_array_equal(read.tune["table"], artefact.tune["table"])
    for size in (0, 5, 8, 100, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match="tuned.safetensors"):
            read_artefact(path)


def rewritten(path, change):
    """Changes the head of an artefact, with a new hash, as another version might have written."""
    from hclx.hashing import json_hash

    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    head = json.loads(header["__metadata__"]["hclx"])
    del head["hash"]
    change(head)
    header["__metadata__"]["hclx"] = json.dumps({**head, "hash": json_hash(head)})
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda head: head.update(version=2), "has version 2, and this version of hclx reads up"),
        (lambda head: head.update(format="other"), "is no artefact of tuning"),
        (lambda head: head["settings"].update(length=4), "are not those of its settings"),
        (lambda head: head["settings"].update(length=-1), "its settings cannot be read"),
        (lambda head: head["settings"].update(future=1), "its settings cannot be read"),
        (lambda head: head["tensors"].update(other="x"), "other is not what was saved"),
    ],
)
def test_heads_that_do_not_fit_are_refused(change, message, base, tmp_path):
    path = tmp_path / "tuned.safetensors"
    write_artefact(path, artefact_of(base, "prompt_tune"))
    rewritten(path, change)
    with pytest.raises(DataError, match=message):
        read_artefact(path)


def test_another_base_or_tokenizer_is_refused(base):
    artefact = artefact_of(base)
    own = base_fingerprint(fingerprint(base))
    check_artefact(artefact, own, "v" * 64)
    changed = jax.tree.map(np.copy, base)
    changed["blocks"]["mlp"]["wi"][1, 2, 3] += 1e-6
    other = base_fingerprint(fingerprint(changed))
    with pytest.raises(DataError, match="tuned on another base"):
        check_artefact(artefact, other, "v" * 64)
    with pytest.raises(DataError, match="tuned on another tokenizer"):
        check_artefact(artefact, own, "w" * 64)


def test_the_fingerprint_of_a_base_is_that_of_its_checkpoint_and_of_any_mesh(base):
    recorded = {f"params/{path}": value for path, value in fingerprint(base).items()}
    own = base_fingerprint(fingerprint(base))
    assert base_fingerprint({**recorded, "opt_state/mu": "x"}) == own
    mesh = make_mesh(MeshConfig(fsdp=4, model=2))
    place = lambda x, axes: jax.device_put(x, named_sharding(mesh, axes))
    sharded = jax.tree.map(place, base, logical_axes(MODEL))
    assert base_fingerprint(fingerprint(sharded)) == own


def test_a_whole_model_is_no_artefact(base, tmp_path):
    artefact = dataclasses.replace(artefact_of(base), config=TuneConfig(kind="finetune"))
    with pytest.raises(ConfigError, match="its checkpoint is the result"):
        write_artefact(tmp_path / "tuned.safetensors", artefact)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(base, tmp_path, monkeypatch):
    path = tmp_path / "tuned.safetensors"
    write_artefact(path, artefact_of(base, "prompt_tune"))
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError):
        write_artefact(path, artefact_of(base))
    assert path.read_bytes() == before
