"""Prompt encoders against those of PEFT, which are modules of PyTorch."""

import numpy as np
import pytest

from hclx.train.state import merge
from hclx.tune import TuneConfig, apply_method
from tests.helpers.tuning import (
    LENGTH,
    behind_slots,
    load_base,
    loss_and_gradients,
    random_tokens,
    start,
    torch_loss,
    torch_model,
)

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
CONFIGS = {
    "lstm": TuneConfig(kind="p_tune", length=LENGTH, encoder="lstm"),
    "mlp": TuneConfig(kind="p_tune", length=LENGTH, encoder="mlp", encoder_size=40),
}


def peft_encoder(params, config, d_model):
    """PEFT's encoder with these parameters, and the names of its own: path here -> parameter."""
    size = config.encoder_size or d_model // 2
    settings = peft.PromptEncoderConfig(
        num_virtual_tokens=config.length,
        token_dim=d_model,
        num_transformer_submodules=1,
        encoder_reparameterization_type=config.encoder.upper(),
        encoder_hidden_size=size,
        encoder_num_layers=2,
        encoder_dropout=0.0,
    )
    encoder = peft.PromptEncoder(settings)
    tensors = dict(encoder.named_parameters())
    with torch.no_grad():
        for name, value in in_torch(params, config).items():
            tensors.pop(name).copy_(torch.tensor(value))
    assert not tensors
    return encoder


def in_torch(params, config):
    """Parameters or gradients by their names in PEFT, in PyTorch's layout."""
    arrays = {"embedding.weight": params["embedding"]}
    names = {"input": "weight_ih", "hidden": "weight_hh"}
    names |= {"input_bias": "bias_ih", "hidden_bias": "bias_hh"}
    for layer in range(2 if config.encoder == "lstm" else 0):
        for ours, theirs in names.items():
            for direction, suffix in enumerate(("", "_reverse")):
                name = f"lstm_head.{theirs}_l{layer}{suffix}"
                arrays[name] = params[f"lstm_{layer}"][ours][direction].T
    for number in range(2 if config.encoder == "lstm" else 3):
        layer = params[f"linear_{number}"]
        arrays[f"mlp_head.{2 * number}.weight"] = layer["weight"].T
        arrays[f"mlp_head.{2 * number}.bias"] = layer["bias"]
    return arrays


@pytest.mark.parametrize("encoder", CONFIGS)
def test_the_table_is_that_of_peft(encoder):
    base, config = load_base("gpt2"), CONFIGS[encoder]
    trainable = start(base, config, noise=0.1)
    theirs = peft_encoder(trainable["tune"], config, base.config.d_model)(torch.arange(LENGTH))
    ours = apply_method(merge(trainable, base.params), base.config, config).table_pd
    assert theirs.std() > 0.05
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("encoder", CONFIGS)
def test_gradients_are_those_of_pytorch(encoder):
    base, config = load_base("gpt2"), CONFIGS[encoder]
    trainable, batch = start(base, config, noise=0.1), behind_slots(random_tokens(), base)
    loss, gradients = loss_and_gradients(base, config, trainable, batch)
    module, model = peft_encoder(trainable["tune"], config, base.config.d_model), torch_model(base)
    rows = torch.tensor(batch.tokens_bt[:, LENGTH:], dtype=torch.long)
    soft = module(torch.arange(LENGTH)).expand(len(rows), -1, -1)
    vectors = torch.cat([soft, model.get_input_embeddings()(rows)], dim=1)
    targets = np.minimum(batch.targets_bt, base.config.vocab_size - 1)
    theirs = torch_loss(model(inputs_embeds=vectors).logits, targets, batch.weights_bt)
    theirs.backward()
    assert loss == pytest.approx(float(theirs.detach()), rel=1e-5)
    ours = in_torch(gradients["tune"], config)
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().max() > 1e-4, name
        np.testing.assert_allclose(
            ours[name], parameter.grad.numpy(), atol=1e-5, rtol=0, err_msg=name
        )


@pytest.mark.parametrize("encoder", CONFIGS)
def test_it_begins_as_pytorch_does(encoder):
    """The bounds of uniform values are those of PyTorch, whose own values are drawn otherwise."""
    config = TuneConfig(kind="p_tune", length=64, encoder=encoder)
    base = load_base("gpt2")
    ours = in_torch(start(base, config)["tune"], config)
    size = base.config.d_model // (2 if encoder == "lstm" else 1)
    settings = peft.PromptEncoderConfig(
        num_virtual_tokens=64,
        token_dim=base.config.d_model,
        num_transformer_submodules=1,
        encoder_reparameterization_type=encoder.upper(),
        encoder_hidden_size=size,
        encoder_num_layers=2,
    )
    for name, theirs in peft.PromptEncoder(settings).named_parameters():
        theirs = theirs.detach().numpy()
        assert ours[name].shape == theirs.shape, name
        assert ours[name].std() == pytest.approx(theirs.std(), rel=0.35), name
        if name != "embedding.weight":
            assert np.abs(ours[name]).max() == pytest.approx(np.abs(theirs).max(), rel=0.35), name
