"""Folders of PEFT: those that are written are loaded by PEFT, and those of PEFT are read."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hclx.convert.small_safetensors import read_whole, replace_file, to_bytes
from hclx.errors import ConfigError, DataError
from hclx.tune import TuneConfig, without_encoder
from hclx.tune.peft_format import CONFIG, WEIGHTS, read_peft, write_peft
from tests.helpers.tuning import (
    LENGTH,
    behind_slots,
    load_base,
    plain_batch,
    random_tokens,
    start,
    torch_model,
    tuned_logits,
)

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
LORA = TuneConfig(kind="lora", rank=3, alpha=7.0, rs_lora=True)
PROMPT = TuneConfig(kind="prompt_tune", length=LENGTH, init="random")
# family -> our targets, those in PEFT's folder
ADAPTERS = {
    "gpt2": ("qkv,out", ["attn.c_proj", "c_attn"]),
    "gpt_neox": ("qkv,out,wo", ["dense", "dense_4h_to_h", "query_key_value"]),
    "gptj": ("q,v,wi", ["fc_in", "q_proj", "v_proj"]),
    "llama": ("k,v,gate", ["gate_proj", "k_proj", "v_proj"]),
    "exaone": ("q,out", ["o_proj", "q_proj"]),
}
CASES = {name: (name, dataclasses.replace(LORA, targets=t[0])) for name, t in ADAPTERS.items()}
CASES |= {
    "llama qkv": ("llama", dataclasses.replace(LORA, targets="qkv")),
    "prompt": ("llama", PROMPT),
    "prompt hyperclovax": ("hyperclovax", PROMPT),
    "p_tune": ("gpt2", TuneConfig(kind="p_tune", length=LENGTH)),
    "prefix": ("gpt2", TuneConfig(kind="prefix_tune", length=LENGTH, init="random")),
    "prefix mlp": ("llama", TuneConfig(kind="prefix_tune", length=LENGTH, reparameterise=True)),
}


def batch_for(base, config, tokens):
    has_slots = config.kind in ("prompt_tune", "p_tune")
    return behind_slots(tokens, base) if has_slots else plain_batch(tokens)


def logits_of(base, config, tune):
    tokens = random_tokens((2, 16))
    return tuned_logits(base, config, {"tune": tune}, batch_for(base, config, tokens))


def their_logits(base, folder):
    model = peft.PeftModel.from_pretrained(torch_model(base), folder).eval()
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(random_tokens((2, 16)), dtype=torch.long)
        ).logits.numpy()


# Of families whose names differ and nothing else.
LONG = ("gptj", "exaone", "llama", "prompt")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.long) if c in LONG else c for c in CASES]
)
def test_peft_loads_what_is_written(case, tmp_path):
    name, config = CASES[case]
    base = load_base(name)
    tune = start(base, config, noise=0.2)["tune"]
    write_peft(tmp_path / "adapter", config, tune, base.config, base.family, "a/base")
    ours = logits_of(base, config, tune)
    np.testing.assert_allclose(ours, their_logits(base, tmp_path / "adapter"), atol=2e-5, rtol=0)
    fields = json.loads((tmp_path / "adapter" / CONFIG).read_text())
    if case in ADAPTERS:
        assert fields["target_modules"] == ADAPTERS[case][1]
    again, read, base_name = read_peft(tmp_path / "adapter", base.config, base.family)
    assert base_name == "a/base"
    np.testing.assert_allclose(logits_of(base, again, read), ours, atol=1e-5, rtol=0)
    plain, values = without_encoder(tune, base.config, config)
    assert again.kind == plain.kind
    if case != "llama qkv":  # which comes back as three
        assert jax.tree.structure(read) == jax.tree.structure(values)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_adapters_of_peft_are_read(name, tmp_path):
    """As PEFT writes them itself."""
    base = load_base(name)
    adapters = [
        peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules="all-linear"),
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH),
        peft.PromptEncoderConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=LENGTH, encoder_hidden_size=16
        ),
        peft.PrefixTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=LENGTH, prefix_projection=True
        ),
    ]
    for settings in adapters:
        torch.manual_seed(0)
        model = peft.get_peft_model(torch_model(base), settings).eval()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(std=0.1)
            tokens = torch.tensor(random_tokens((2, 16)), dtype=torch.long)
            theirs = model(input_ids=tokens).logits.numpy()
        folder = tmp_path / settings.peft_type
        model.save_pretrained(folder)
        config, tune, _ = read_peft(folder, base.config, base.family)
        ours = logits_of(base, config, tune)
        np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=0, err_msg=settings.peft_type)


def written(tmp_path, case="llama"):
    name, config = CASES[case]
    base = load_base(name)
    write_peft(tmp_path / "a", config, start(base, config)["tune"], base.config, base.family)
    return base, tmp_path / "a"


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"use_dora": True}, "has use_dora=True, which is not read"),
        ({"bias": "all"}, "has bias='all', which is not read"),
        ({"alpha_pattern": {"q_proj": 3}}, "has alpha_pattern=.*, which is not read"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save=.*, which is not read"),
        ({"init_lora_weights": "pissa_niter_4"}, "its base is another one"),
        ({"peft_type": "IA3"}, "peft_type='IA3' is not LORA"),
        ({"r": "8"}, "which are no numbers"),
        ({"r": 2}, r"has shape \[3, 48\] and this base takes \[2, 48\]"),
    ],
)
def test_adapters_of_other_methods_are_refused(fields, message, tmp_path):
    base, folder = written(tmp_path)
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(DataError, match=message):
        read_peft(folder, base.config, base.family)


def test_tensors_that_do_not_fit_are_refused(tmp_path):
    base, folder = written(tmp_path)
    tensors, _ = read_whole(folder / WEIGHTS)
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight"
    without = {key: value for key, value in tensors.items() if key != name}
    for others, message in (
        (without, "has no tensor .*layers.1.self_attn.v_proj.lora_A.weight"),
        ({**tensors, "base_model.model.lm_head.lora_A.weight": np.ones((3, 48))}, "belongs to no"),
        ({}, "has no tensors"),
    ):
        replace_file(folder / WEIGHTS, to_bytes(others))
        with pytest.raises(DataError, match=message):
            read_peft(folder, base.config, base.family)
    (folder / WEIGHTS).unlink()
    with pytest.raises(DataError, match="has no adapter_model.safetensors"):
        read_peft(folder, base.config, base.family)
    (folder / CONFIG).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_peft(folder, base.config, base.family)


@pytest.mark.parametrize("case", ["prompt", "prefix"])
def test_prompts_of_another_base_are_refused(case, tmp_path):
    _, folder = written(tmp_path, case)
    other = load_base("gpt_neox sequential")
    with pytest.raises(DataError, match="and this base takes"):
        read_peft(folder, other.config, other.family)


def test_what_peft_has_not_is_refused(tmp_path):
    base = load_base("gpt2")
    config = dataclasses.replace(LORA, targets="q,v")
    tune = start(base, config)["tune"]
    with pytest.raises(ConfigError, match="one module, attn.c_attn, with one A; tune qkv"):
        write_peft(tmp_path / "a", config, tune, base.config, base.family)
    with pytest.raises(ConfigError, match="exported as a model"):
        write_peft(tmp_path / "a", TuneConfig(kind="finetune"), {}, base.config, base.family)
    assert not (tmp_path / "a").exists()
