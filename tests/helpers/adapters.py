"""A tiny base with an artefact of each kind, in an engine, and what training says of them."""

import jax
import numpy as np

from hclx.tune import TuneConfig, apply_method, tuned_hidden_states
from hclx.tune.artefact import Artefact
from hclx.tune.serving import adapter_of
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.tuning import FP32, load_base, plain_batch, start, tuned_logits

ROW = 96  # tokens of the rows that training computes, with padding
CONFIGS = {
    "soft": TuneConfig(kind="prompt_tune", length=5, init="random"),
    "encoder": TuneConfig(kind="p_tune", encoder="mlp", encoder_size=16, length=3),
    "prefix": TuneConfig(kind="prefix_tune", length=20, init="random"),
    "mlp": TuneConfig(kind="prefix_tune", length=16, reparameterise=True, encoder_size=16),
    "lora": TuneConfig(kind="lora", rank=4, targets="q,k,v,out,wi,wo", rs_lora=True),
    "small": TuneConfig(kind="lora", rank=2, alpha=3.0, targets="qkv"),
}


class Tuned:
    """A base and its artefacts, whose parameters are drawn at random."""

    def __init__(self, name):
        self.base = load_base(name)
        self.vocab_size = self.base.config.vocab_size
        self.trained = {n: start(self.base, c, noise=0.3) for n, c in CONFIGS.items()}

    def artefact(self, name):
        tune = self.trained[name]["tune"]
        return Artefact(CONFIGS[name], tune, self.base.config, "base", "tokenizer")

    def engine(self, names=tuple(CONFIGS), mesh=None, dtype="float32", **settings):
        settings = {"rows": 4, "prefix_tokens": 2048, **settings}
        base, tokenizer = self.base, ByteTokenizer(self.vocab_size)
        engine = engine_of(base.params, base.config, tokenizer, mesh, dtype, **settings)
        for name in names:
            engine.add_adapter(name, adapter_of(self.artefact(name)))
        return engine

    def n_slots(self, name):
        config = CONFIGS.get(name)
        return config.length if config and config.kind in ("prompt_tune", "p_tune") else 0

    def hidden(self, name, ids):
        """float32 [n, d], the hidden states of these ids, soft slots among them."""
        config, trained = CONFIGS[name], self.trained[name]
        tuned = apply_method({**self.base.params, **trained}, self.base.config, config)
        batch = plain_batch(np.array([ids]))
        return np.asarray(tuned_hidden_states(tuned, batch, self.base.config, FP32)[0])

    def logprobs(self, name, ids):
        """float64 [n, v], of what follows each of the ids, which have soft slots where they stand
        in training: before all others, if they have none.
        """
        n = self.n_slots(name)
        before = list(range(self.vocab_size, self.vocab_size + n))
        before = [] if max(ids) >= self.vocab_size else before
        row = np.zeros((1, ROW), np.int32)
        row[0, : len(before) + len(ids)] = [*before, *ids]
        config = CONFIGS.get(name, CONFIGS["small"])
        trained = self.trained.get(name)
        if trained is None:  # a change that is none
            trained = jax.tree.map(np.zeros_like, self.trained["small"])
        logits = tuned_logits(self.base, config, trained, plain_batch(row))[0].astype(np.float64)
        logits = logits[len(before) : len(before) + len(ids)]
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
