"""Prefixes against PEFT, against the tokens whose keys and values they are, and in packed rows."""

import numpy as np
import pytest

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.model import hidden_states
from hclx.tune import TuneConfig, apply_method
from tests.helpers.tuning import (
    BASES,
    LENGTH,
    load_base,
    loss_and_gradients,
    plain_batch,
    random_tokens,
    start,
    torch_loss,
    torch_model,
    tuned_logits,
)

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
PLAIN = TuneConfig(kind="prefix_tune", length=LENGTH, init="random")
MLP = TuneConfig(kind="prefix_tune", length=LENGTH, reparameterise=True, encoder_size=40)
WINDOWS = "gemma3_text"  # two of three layers see 16 tokens


def in_peft(params, config):
    """Parameters or gradients by their names in PEFT, in PyTorch's layout."""
    flat = lambda x: np.moveaxis(x, 0, 1).reshape(x.shape[1], -1)  # [layers, p, ...] -> [p, ...]
    if not config.reparameterise:
        return {"embedding.weight": flat(params["kv"])}
    return {
        "embedding.weight": params["embedding"],
        "transform.0.weight": params["hidden"]["weight"].T,
        "transform.0.bias": params["hidden"]["bias"],
        "transform.2.weight": flat(params["out"]["weight"]).T,
        "transform.2.bias": params["out"]["bias"].reshape(-1),
    }


def peft_model(base, params, config):
    settings = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=config.length,
        prefix_projection=config.reparameterise,
        encoder_hidden_size=config.encoder_size or None,
    )
    model = peft.get_peft_model(torch_model(base), settings)
    encoder = model.prompt_encoder["default"]
    tensors = dict(encoder.named_parameters())
    with torch.no_grad():
        for name, value in in_peft(params, config).items():
            tensors.pop(name).copy_(torch.tensor(value))
    assert not tensors
    return model.eval(), encoder


@pytest.mark.parametrize("config", [PLAIN, MLP], ids=["plain", "mlp"])
@pytest.mark.parametrize("name", BASES)
def test_logits_and_gradients_are_those_of_peft(name, config):
    base, tokens = load_base(name), random_tokens()
    trainable, batch = start(base, config, noise=0.3), plain_batch(tokens)
    model, encoder = peft_model(base, trainable["tune"], config)
    theirs = model(input_ids=torch.tensor(tokens, dtype=torch.long)).logits
    ours = tuned_logits(base, config, trainable, batch)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5, rtol=0)
    loss, gradients = loss_and_gradients(base, config, trainable, batch)
    their_loss = torch_loss(theirs, batch.targets_bt, batch.weights_bt)
    their_loss.backward()
    assert loss == pytest.approx(float(their_loss.detach()), rel=1e-5)
    ours = in_peft(gradients["tune"], config)
    for key, parameter in encoder.named_parameters():
        assert parameter.grad.abs().max() > 1e-4, key
        np.testing.assert_allclose(
            ours[key], parameter.grad.numpy(), atol=1e-5, rtol=0, err_msg=key
        )


@pytest.mark.parametrize("name", [*BASES, WINDOWS])
def test_a_prefix_of_the_keys_of_a_text_is_that_text(name):
    base, tokens = load_base(name), random_tokens((2, 40))
    config = TuneConfig(kind="prefix_tune", length=8, init="text")
    tokens[:, :8] = tokens[0, :8]
    trainable = start(base, config, tokens=[tokens[0, :8]])
    with torch.no_grad():
        theirs = torch_model(base)(torch.tensor(tokens, dtype=torch.long)).logits[:, 8:].numpy()
    ours = tuned_logits(base, config, trainable, plain_batch(tokens[:, 8:]))
    np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", [*BASES, WINDOWS])
def test_packed_documents_are_as_alone(name):
    base = load_base(name)
    first, second = random_tokens((1, 20)), random_tokens((1, 28), seed=2)
    trainable = start(base, PLAIN, noise=0.5)
    alone = [tuned_logits(base, PLAIN, trainable, plain_batch(x)) for x in (first, second)]
    packed = [
        np.concatenate(fields, axis=1) for fields in zip(plain_batch(first), plain_batch(second))
    ]
    packed[3] = np.repeat([[4, 7]], [20, 28], axis=1).astype(np.int32)  # segments
    together = tuned_logits(base, PLAIN, trainable, Batch(*packed))
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-5, rtol=0)


def test_what_has_no_room_or_no_kernel_is_refused():
    base = load_base("gpt2")
    trainable = start(base, PLAIN)
    with pytest.raises(ConfigError, match="more than ModelConfig.max_length=256"):
        tuned_logits(base, PLAIN, trainable, plain_batch(random_tokens((1, 252))))
    tuned = apply_method({**base.params, **trainable}, base.config, PLAIN)
    batch = plain_batch(random_tokens((1, 128)))
    fields = batch.tokens_bt, batch.segments_bt, batch.positions_bt + LENGTH
    compute = ComputeConfig(dtype="float32", attention="splash")
    with pytest.raises(ConfigError, match="attention='splash' does not read a prefix"):
        hidden_states(tuned.params, *fields, base.config, compute, prefix=tuned.prefix)
