"""Folders of PEFT: adapter_config.json and adapter_model.safetensors, both ways.

lora                    LORA
prompt_tune, p_tune     PROMPT_TUNING, whose vectors stand before every text. A P_TUNING folder is
                        read too: PEFT saves what its encoder made.
prefix_tune             PREFIX_TUNING, of keys and values; an MLP is computed before
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hclx.convert.small_safetensors import read_whole, replace_file, to_bytes
from hclx.errors import ConfigError, DataError
from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.text.new_folder import new_folder
from hclx.tune.methods import without_encoder
from hclx.tune.peft_tensors import from_peft, module_names, to_peft
from hclx.tune.tune_config import TuneConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PROMPT = "prompt_embeddings"
# Families of which transformers multiplies given vectors, as the rows of the embedding.
_SCALED_INPUTS = ("hyperclovax",)
# Fields of a LoRA that changes other weights, or the base itself; each with the values that are
# none.
_PLAIN = {
    "bias": ("none",),
    "use_dora": (False,),
    "lora_bias": (False,),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "modules_to_save": ([],),
    "layers_to_transform": ([],),
    "layer_replication": ([],),
    "trainable_token_indices": ([], {}),
    "target_parameters": ([],),
}
_OF_OTHER_BASES = ("pissa", "olora", "corda", "loftq")  # initialisations that change the base


def write_peft(
    folder: str | Path,
    config: TuneConfig,
    tune: Params,
    model: ModelConfig,
    family: str,
    base_name: str = "",
) -> None:
    """Writes a tuned model as a folder that PEFT loads.

    Args:
      folder: missing or empty; it appears whole.
      config: the method and its settings.
      tune: its parameters.
      model: the base's shape.
      family: of the base, one of `hclx.convert.tensors.FAMILIES`.
      base_name: of the base, a folder of transformers or a name of its hub.
    Raises:
      ConfigError: PEFT has no such adapter for this family, or the method is full fine-tuning.
    """
    if config.objective == "pair":
        raise ConfigError(
            "the head of TuneConfig.objective='pair' has no place in a folder of PEFT for language"
            " models; use the artefact"
        )
    config, tune = without_encoder(tune, model, config)
    fields = {
        "base_model_name_or_path": base_name or None,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
    }
    if config.kind == "lora":
        tensors = to_peft(tune, model, family)
        fields |= _lora_fields(config, tune, family)
    elif config.kind == "finetune":
        raise ConfigError("a model that was tuned in full is exported as a model, not an adapter")
    else:
        tensors = {_PROMPT: _to_prompt(config, tune, model, family)}
        fields |= _prompt_fields(config, model)
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    with new_folder(Path(folder)) as new:
        replace_file(new / WEIGHTS, to_bytes(tensors, {"format": "pt"}))
        replace_file(new / CONFIG, text.encode())


def _lora_fields(config: TuneConfig, tune: Params, family: str) -> dict:
    modules = module_names(family)
    changed = [
        modules[name]
        for projection in tune
        for name in (projection if projection == "qkv" and "qkv" not in modules else [projection])
    ]
    last = lambda module: module.rpartition(".")[2]
    # PEFT's users write the last part of a name; it stands for every module that is so named.
    is_whole = lambda module: all(
        other in changed for other in modules.values() if last(other) == last(module)
    )
    targets = {last(module) if is_whole(module) else module for module in changed}
    return {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rs_lora,
        "bias": "none",
        "fan_in_fan_out": family == "gpt2",
        "target_modules": sorted(targets),
    }


def _prompt_fields(config: TuneConfig, model: ModelConfig) -> dict:
    fields = {
        "num_virtual_tokens": config.length,
        "num_layers": model.n_layers,
        "num_transformer_submodules": 1,
    }
    if config.kind == "prompt_tune":
        sizes = {"token_dim": model.d_model, "num_attention_heads": model.n_heads}
        return fields | sizes | {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM"}
    return fields | {
        "peft_type": "PREFIX_TUNING",
        "prefix_projection": False,
        "token_dim": model.n_kv_heads * model.d_head,
        "num_attention_heads": model.n_kv_heads,
    }


def _to_prompt(config: TuneConfig, tune: Params, model: ModelConfig, family: str) -> np.ndarray:
    if config.kind == "prompt_tune":
        return np.asarray(tune["table"]) / _input_scale(model, family)
    return np.moveaxis(np.asarray(tune["kv"]), 0, 1).reshape(config.length, -1)


def _input_scale(model: ModelConfig, family: str) -> float:
    return model.embedding_multiplier if family in _SCALED_INPUTS else 1.0


def read_peft(
    folder: str | Path, model: ModelConfig, family: str
) -> tuple[TuneConfig, Params, str]:
    """Reads a folder of PEFT.

    Args:
      folder: with adapter_config.json and adapter_model.safetensors.
      model: the base's shape.
      family: of the base.
    Returns:
      The settings, the parameters of the method, and the name of the base in the folder, "" if
      there is none.
    Raises:
      DataError: the folder is damaged, of a method that is not here, or of another base.
      OSError: it cannot be read.
    """
    folder = Path(folder)
    fields = _read_fields(folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise DataError(f"{folder} has no {WEIGHTS}; a pickled adapter is not read")
    tensors, _ = read_whole(folder / WEIGHTS)
    kind = fields.get("peft_type")
    try:
        if kind == "LORA":
            config, tune = _read_lora(fields, tensors, model, family)
        elif kind in ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"):
            config, tune = _read_prompt(kind, tensors, model, family)
        else:
            raise DataError(
                f"peft_type={kind!r} is not LORA, PROMPT_TUNING, P_TUNING or PREFIX_TUNING"
            )
    except (ConfigError, DataError) as error:
        raise DataError(f"{folder}: {error}") from error
    return config, tune, fields.get("base_model_name_or_path") or ""


def _read_fields(path: Path) -> dict:
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; give the folder of an adapter") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path} is no JSON object")
    return fields


def _read_lora(
    fields: Mapping, tensors: Mapping[str, np.ndarray], model: ModelConfig, family: str
) -> tuple[TuneConfig, Params]:
    for name, plain in _PLAIN.items():
        if fields.get(name) not in (None, *plain):
            raise DataError(f"{CONFIG} has {name}={fields[name]!r}, which is not read")
    how = fields.get("init_lora_weights")
    if isinstance(how, str) and how.startswith(_OF_OTHER_BASES):
        raise DataError(f"{CONFIG} has init_lora_weights={how!r}: its base is another one")
    rank, alpha = fields.get("r"), fields.get("lora_alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float):
        raise DataError(f"{CONFIG} has r={rank!r} and lora_alpha={alpha!r}, which are no numbers")
    tune = from_peft(tensors, rank, model, family)
    config = TuneConfig(
        kind="lora",
        rank=rank,
        alpha=float(alpha),
        dropout=float(fields.get("lora_dropout") or 0.0),
        rs_lora=bool(fields.get("use_rslora")),
        targets=",".join(tune),
    )
    return config, tune


def _read_prompt(
    kind: str, tensors: Mapping[str, np.ndarray], model: ModelConfig, family: str
) -> tuple[TuneConfig, Params]:
    layers, g, k = model.n_layers, model.n_kv_heads, model.d_head
    is_prefix = kind == "PREFIX_TUNING"
    size = layers * 2 * g * k if is_prefix else model.d_model
    if set(tensors) != {_PROMPT}:
        raise DataError(f"{WEIGHTS} holds {sorted(tensors)}, and only {_PROMPT!r} is read")
    array = tensors[_PROMPT]
    if array.ndim != 2 or array.shape[1] != size or not len(array):
        raise DataError(
            f"{_PROMPT} has shape {list(array.shape)} and this base takes [length, {size}]; give"
            " the adapter of this base"
        )
    if is_prefix:
        kv = np.moveaxis(array.reshape(len(array), layers, 2, g, k), 0, 1)
        return TuneConfig(kind="prefix_tune", length=len(array)), {"kv": kv}
    table = array * np.float32(_input_scale(model, family))
    return TuneConfig(kind="prompt_tune", length=len(array)), {"table": table}
