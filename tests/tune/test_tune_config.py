"""The settings of tuning: what is refused, and what follows from them without an array."""

import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.tune import TuneConfig, count_trainable, frozen_specs, trainable_bytes, tuning_decay_mask

MODEL = ModelConfig(n_layers=24, d_model=1_024, n_heads=16, kv_heads=4, vocab_size=32_000)
D, KV = 1_024, 256  # sizes of the residual stream, and of all heads of keys


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kind": "adapter"}, "kind='adapter' is not prompt_tune, p_tune"),
        ({"encoder": "gru"}, "encoder='gru' is not lstm or mlp"),
        ({"init": "zeros"}, "init='zeros' is not random"),
        ({"length": 0}, "length must be positive"),
        ({"rank": 0}, "rank must be positive"),
        ({"rank": 2.5}, "rank must be int"),
        ({"dropout": 1.0}, r"dropout=1.0 is not in \[0, 1\)"),
        ({"seed": -1}, "seed=-1 is negative"),
        ({"kind": "prefix_tune", "init": "labels"}, "init='labels' is for soft prompts"),
        ({"kind": "p_tune", "init": "text"}, "does not go with the network"),
        ({"kind": "prefix_tune", "reparameterise": True, "init": "text"}, "does not go with"),
        ({"kind": "lora", "targets": "query"}, "'query' is not q, k"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ConfigError, match=f"TuneConfig.*{message}"):
        TuneConfig(**fields)


@pytest.mark.parametrize(
    "fields, count",
    [
        ({"kind": "prompt_tune", "length": 100}, 100 * D),
        ({"kind": "p_tune", "length": 9, "encoder": "mlp"}, 9 * D + 3 * (D * D + D)),
        (
            {"kind": "p_tune", "length": 9},
            # two layers of 2 directions x 4 gates of D / 2; two linear layers
            9 * D + 2 * 2 * 4 * (D // 2) * (D + D // 2 + 2) + 2 * (D * D + D),
        ),
        ({"kind": "prefix_tune", "length": 20}, 24 * 20 * 2 * KV),
        ({"kind": "lora", "rank": 8, "targets": "q,v"}, 24 * 8 * (2 * D + D + KV)),
        ({"kind": "lora", "rank": 8, "targets": "qkv,wo"}, 24 * 8 * (D + D + 2 * KV + 5 * D)),
    ],
)
def test_parameters_are_counted_by_closed_formulas(fields, count):
    config = TuneConfig(**fields)
    assert count_trainable(MODEL, config) == count
    assert trainable_bytes(MODEL, config) == 4 * count
    assert set(frozen_specs(MODEL, config)) == {"embedding", "blocks", "final_norm"}


def test_vectors_do_not_decay_and_matrices_do():
    mask = lambda **fields: tuning_decay_mask(MODEL, TuneConfig(**fields))["tune"]
    assert mask(kind="prompt_tune") == {"table": False}
    assert mask(kind="prefix_tune") == {"kv": False}
    assert mask(kind="lora", targets="q") == {"q": {"a": True, "b": True}}
    assert mask(kind="p_tune")["linear_0"] == {"weight": True, "bias": False}


@pytest.mark.parametrize("rs_lora, scale", [(False, 0.5), (True, 2.0)])
def test_the_scale_of_a_change(rs_lora, scale):
    assert TuneConfig(kind="lora", rank=16, alpha=8.0, rs_lora=rs_lora).scale == scale
