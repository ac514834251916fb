"""config.json: every spelling, and back."""

import dataclasses

import pytest

from hclx.config import ModelConfig
from hclx.convert.config_json import read_model_config
from hclx.convert.config_json_writer import write_model_config
from hclx.errors import ConfigError
from tests.helpers.families import FAMILIES


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shape_is_written_and_read_again(name):
    model_type, fields = FAMILIES[name]
    family, config = read_model_config({"model_type": model_type, **fields})
    written = write_model_config(config, family)
    back = read_model_config(written)[1]
    zero = {"rope_original_length": 0, "mlp_size": 0}  # which 0 stands for the same as a number
    assert dataclasses.replace(back, **zero) == dataclasses.replace(config, **zero)
    assert back.d_mlp == config.d_mlp
    assert write_model_config(config)["model_type"] in (family, "llama", "gpt2", "qwen2")


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"qk_norm": True}, "qk_norm"),
        ({"embedding_norm": True}, "embedding_norm"),
        ({"tied_head": False, "head_bias": True}, "head_bias"),
    ],
)
def test_a_shape_without_counterpart_is_refused_by_its_field(fields, field):
    with pytest.raises(ConfigError, match=f"ModelConfig.{field}=True .* no counterpart in"):
        write_model_config(ModelConfig(**fields))
