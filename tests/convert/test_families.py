"""Every family against transformers: logits, and continuations over a cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig
from hclx.convert.config_json import read_model_config
from hclx.convert.tensors import rules
from hclx.model import hidden_states, param_specs, unembed
from tests.helpers.families import FAMILIES, read_config_json, save_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
LENGTH = 96  # beyond all windows and original lengths


def load(folder):
    from safetensors.numpy import load_file

    family, config = read_model_config(read_config_json(folder))
    tensors = load_file(folder / "model.safetensors")
    params = jax.tree.map(lambda spec: np.full(spec.shape, np.nan, np.float32), param_specs(config))
    flat = {
        jax.tree_util.keystr(path, simple=True, separator="/"): array
        for path, array in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    used = set()
    for rule in rules(config, family):
        in_layer = rule.ours[0].startswith("blocks/")
        for layer in range(config.n_layers) if in_layer else [None]:
            names = [name.format(n=layer) for name in rule.theirs]
            used.update(names)
            for path, array in zip(rule.ours, rule.pack(*(tensors[name] for name in names))):
                target = flat[path][layer] if in_layer else flat[path]
                assert target.shape == array.shape, (path, target.shape, array.shape)
                target[...] = array
    assert used == set(tensors), used ^ set(tensors)
    assert not any(np.isnan(array).any() for array in flat.values())
    return config, params


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_transformers(name, tmp_path):
    model = save_model(name, tmp_path)
    config, params = load(tmp_path)
    tokens = np.random.default_rng(1).integers(0, config.vocab_size, (2, LENGTH))
    with torch.no_grad():
        theirs = model(torch.tensor(tokens)).logits.numpy()
    positions = jnp.broadcast_to(jnp.arange(LENGTH), tokens.shape)
    x = hidden_states(
        params, tokens, jnp.zeros_like(positions), positions, config, ComputeConfig(dtype="float32")
    )
    ours = unembed(params, x, config)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
