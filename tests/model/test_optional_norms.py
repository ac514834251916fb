"""The norms that are off by default: against PyTorch and numpy in float64, what they add, and that
they are off.
"""

import dataclasses
import math

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.model import abstract_params, init_params, n_params
from tests.helpers.decoder import logits
from tests.helpers.numpy_decoder import forward, noisy_params
from tests.helpers.sizes import SIZES

OFF = ModelConfig(vocab_size=97, n_layers=3, d_model=24, n_heads=3, max_length=40)
EOD = 1
SWITCHES = {
    "qk_norm": {
        f"blocks/attention/{norm}/{part}"
        for norm in ("query_norm", "key_norm")
        for part in ("scale", "bias")
    },
    "embedding_norm": {"embedding/norm/scale", "embedding/norm/bias"},
}
ON = {name: dataclasses.replace(OFF, **{name: True}) for name in SWITCHES}
ON["both"] = dataclasses.replace(OFF, qk_norm=True, embedding_norm=True)


def torch_logits(torch, p, tokens, config):
    """The decoder in PyTorch, with attention written out."""
    functional, t, k = torch.nn.functional, tokens.shape[1], config.d_head
    norm = lambda x, n: functional.layer_norm(
        x, x.shape[-1:], n["scale"], n["bias"], config.layer_norm_epsilon
    )
    x = p["embedding"]["token"][tokens] + p["embedding"]["position"][:t]
    x = norm(x, p["embedding"]["norm"]) if config.embedding_norm else x
    for i in range(config.n_layers):
        b = jax.tree.map(lambda array: array[i], p["blocks"])
        a, m = b["attention"], b["mlp"]
        y = norm(x, b["attention_norm"])
        q = torch.einsum("btd,dhk->bhtk", y, a["q"]) + a["q_bias"][:, None]
        key, value = torch.einsum("btd,dchk->cbhtk", y, a["kv"]) + a["kv_bias"][:, None, :, None]
        if config.qk_norm:
            q, key = norm(q, a["query_norm"]), norm(key, a["key_norm"])
        scores = (q @ key.mT / math.sqrt(k)).masked_fill(
            torch.ones(t, t, dtype=bool).triu(1), -math.inf
        )
        x = x + torch.einsum("bhtk,hkd->btd", scores.softmax(-1) @ value, a["out"]) + a["out_bias"]
        hidden = functional.gelu(
            norm(x, b["mlp_norm"]) @ m["wi"] + m["wi_bias"], approximate="tanh"
        )
        x = x + hidden @ m["wo"] + m["wo_bias"]
    return norm(x, p["final_norm"]) @ p["embedding"]["token"].T


@pytest.mark.parametrize("name", ON)
def test_logits_and_gradients_are_those_of_pytorch(name):
    torch, config = pytest.importorskip("torch"), ON[name]
    params, draw = noisy_params(config, gain=1), np.random.default_rng(0)
    tokens, weigh = draw.integers(2, 97, (2, 40)), draw.normal(size=(2, 40, 97)) / 80

    def ours(params):
        our_logits = logits(params, tokens, config=config)
        return (our_logits * weigh).sum(), our_logits

    (_, our_logits), grads = jax.jit(jax.value_and_grad(ours, has_aux=True))(params)
    theirs = jax.tree.map(
        lambda x: torch.tensor(np.asarray(x, np.float64), requires_grad=True), params
    )
    expected_logits = torch_logits(torch, theirs, torch.tensor(tokens), config)
    (expected_logits * torch.tensor(weigh)).sum().backward()
    np.testing.assert_allclose(our_logits, expected_logits.detach().numpy(), rtol=1e-5, atol=1e-5)
    for (path, gradient), array in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(theirs), strict=True
    ):
        np.testing.assert_allclose(
            gradient, array.grad.numpy(), rtol=1e-5, atol=1e-5, err_msg=jax.tree_util.keystr(path)
        )


@pytest.mark.parametrize("name", ON)
def test_packed_documents_are_those_of_numpy_alone(name):
    params, window = (
        noisy_params(ON[name], gain=1),
        np.random.default_rng(3).integers(2, 97, (1, 40)),
    )
    window[0, [0, 11, 12, 29]] = EOD
    packed_logits = np.asarray(logits(params, window, config=ON[name]))[0]
    for start, stop in ((0, 11), (11, 12), (12, 29), (29, 40)):
        np.testing.assert_allclose(
            packed_logits[start:stop],
            forward(params, window[0, start:stop], ON[name]),
            rtol=1e-5,
            atol=1e-5,
        )


def by_path(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): array
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_nothing_is_on_by_default():
    assert not any(
        getattr(config, switch)
        for config in (ModelConfig(), *SIZES.values())
        for switch in SWITCHES
    )
    assert set(by_path(abstract_params(ModelConfig()))) == {
        "embedding/token", "embedding/position", "final_norm/scale", "final_norm/bias",
        "blocks/attention_norm/scale", "blocks/attention_norm/bias",
        "blocks/mlp_norm/scale", "blocks/mlp_norm/bias",
        "blocks/attention/q", "blocks/attention/q_bias",
        "blocks/attention/kv", "blocks/attention/kv_bias",
        "blocks/attention/out", "blocks/attention/out_bias",
        "blocks/mlp/wi", "blocks/mlp/wi_bias", "blocks/mlp/wo", "blocks/mlp/wo_bias",
    }  # fmt: skip


@pytest.mark.parametrize("name", ON)
def test_a_switch_adds_its_norms_and_changes_no_other_parameter(name):
    before, after = (by_path(init_params(config, jax.random.key(0))) for config in (OFF, ON[name]))
    added = set().union(*(paths for switch, paths in SWITCHES.items() if getattr(ON[name], switch)))
    assert set(after) == set(before) | added
    for path, array in before.items():
        np.testing.assert_array_equal(after[path], array)
    for path in added:
        assert (np.asarray(after[path]) == path.endswith("scale")).all()


@pytest.mark.parametrize("name", ON)
@pytest.mark.parametrize("size", ["137m", "204b"])
def test_parameters_are_those_of_the_closed_formula(name, size):
    off, on = SIZES[size], ON[name]
    config = dataclasses.replace(off, qk_norm=on.qk_norm, embedding_norm=on.embedding_norm)
    heads = on.qk_norm * config.n_layers * 4 * config.d_head
    added = heads + on.embedding_norm * 2 * config.d_model
    assert n_params(config) == n_params(off) + added > n_params(off)
    assert sum(x.size for x in jax.tree.leaves(abstract_params(config))) == n_params(config)
