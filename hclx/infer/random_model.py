"""Models with random weights: the speed of an engine does not depend on the text that it writes."""

import jax
import numpy as np

from hclx.config import MeshConfig, ModelConfig
from hclx.infer.load import INFERENCE_RULES, LoadedModel, prepare_params
from hclx.model import init_params
from hclx.parallel import make_mesh, sharding_rules


class NumberTokenizer:
    """Has what an engine reads of a tokenizer. Each token is its number as text, such as "<7>"."""

    pad_id, eod_id, begin_ids = 0, 1, [1]

    def __init__(self, vocab_size: int):
        """Takes the number of tokens."""
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text such as "<7><12>"."""
        return [int(token) for token in text.strip("<>").split("><") if token]

    def decode_bytes(self, ids) -> bytes:
        """Returns the text of ids, in bytes."""
        return b"".join(b"<%d>" % token if token > 1 else b"" for token in ids)

    def token_bytes(self) -> np.ndarray:
        """Returns the number of bytes of each token."""
        return np.array([len(self.decode_bytes([i])) for i in range(self.vocab_size)], np.uint8)


def random_model(config: ModelConfig, dtype: str | None = None, seed: int = 0) -> LoadedModel:
    """Draws a model on the first device.

    Args:
      config: its shape.
      dtype: as in `load_for_inference`.
      seed: of the weights.
    """
    device = jax.devices()[0]
    mesh = make_mesh(MeshConfig(fsdp=1), [device])
    with jax.set_mesh(mesh), sharding_rules(INFERENCE_RULES):
        params = jax.jit(init_params, static_argnums=0)(config, jax.random.key(seed))
        params = prepare_params(params, config, dtype, donate=True)
    return LoadedModel(params, config, "", {}, mesh, INFERENCE_RULES)
