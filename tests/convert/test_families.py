"""Every family against transformers: logits, and continuations over a cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, MeshConfig
from hclx.convert.importing import look_at, read_params
from hclx.model import hidden_states, unembed
from hclx.parallel import make_mesh
from tests.helpers.families import FAMILIES, save_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
LENGTH = 96  # beyond all windows and original lengths


def load(folder):
    source = look_at(folder)
    return source.config, read_params(source, make_mesh(MeshConfig(fsdp=1), jax.devices()[:1]))


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
