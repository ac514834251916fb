"""Rotary positions in a config.json: one meaning, and the spellings of several years.

  rope_parameters            of transformers 5: an object, or one for each kind of layer
  rope_scaling, rope_theta   before; `type` for `rope_type`
  rotary_emb_base, rotary_pct            of GPT-NeoX
  rope_local_base_freq                   of Gemma 3, for layers with a window

All that are there must agree. A name that nobody knows is refused: to leave it out would be to
compute with a default.
"""

import math
from collections.abc import Mapping

from hclx.convert.fields import Fields
from hclx.errors import ConfigError, DataError

LAYER_TYPES = ("full_attention", "sliding_attention")
# The fields of a config.json about rotary positions, by family; elsewhere _USUAL.
_USUAL = ("rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor")
_OF_FAMILY = {
    "gpt2": (),
    "gptj": ("rotary", "rotary_dim"),
    "gpt_neox": (*_USUAL, "rotary_emb_base", "rotary_pct"),
    "gemma3_text": (*_USUAL, "rope_local_base_freq"),
}
_BEGINNINGS = ("rope", "rotary", "partial_rotary", "original_max_position")
_SPELLINGS = {"type": "rope_type", "rotary_emb_base": "rope_theta"}
_SPELLINGS["rotary_pct"] = "partial_rotary_factor"
_ORIGINAL = "original_max_position_embeddings"
# Kind -> the names that say how it stretches frequencies. Those in brackets say nothing to it, and
# are written by some.
_NAMES = {
    "default": (),
    "linear": ("factor", _ORIGINAL),
    "dynamic": ("factor", _ORIGINAL),
    "llama3": ("factor", _ORIGINAL, "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor", _ORIGINAL, "beta_fast", "beta_slow", "truncate", "attention_factor")
    + ("mscale", "mscale_all_dim", "finetuned"),
}
_ALWAYS = ("rope_type", "rope_theta", "partial_rotary_factor")


def refuse_unknown_names(fields: Fields, family: str) -> None:
    """Refuses fields on rotary positions that the family does not have, null ones excepted.

    Raises:
      ConfigError: names the first one.
    """
    known = _OF_FAMILY.get(family, _USUAL)
    for name, value in fields.values.items():
        if name.startswith(_BEGINNINGS) and name not in known and value is not None:
            has = f"it has {', '.join(known)}" if known else "it has no rotary positions"
            raise ConfigError(
                f"{fields.path}: {name}={value!r} is no field of model_type={family!r}; {has}"
            )


def rotary(fields: Fields, head_size: int, *, theta: float = 1e4, share: float = 1.0) -> dict:
    """Reads the fields of `ModelConfig` on rotary positions.

    Args:
      fields: of the file.
      head_size: of queries and keys.
      theta, share: where the file says nothing.
    Raises:
      ConfigError: frequencies are stretched in a way that the decoder has not, or in different ways
        in different kinds of layers.
      DataError: a number is missing or of another type, or spellings contradict each other.
    """
    rope = _merged(fields)
    kind = rope.first("rope_type", default="default")
    values = {
        "position": "rotary",
        "rotary_theta": rope.number("rope_theta", default=theta),
        "rotary_size": int(head_size * rope.number("partial_rotary_factor", default=share)),
        "rope_scaling": "none" if kind == "default" else kind,
    }
    if kind == "default":
        return values
    values["rope_factor"] = rope.number("factor")
    original = rope.integer(_ORIGINAL, default=0)
    values["rope_original_length"] = 0 if kind in ("linear", "dynamic") else original
    if kind == "llama3":
        values["rope_low_freq_factor"] = rope.number("low_freq_factor")
        values["rope_high_freq_factor"] = rope.number("high_freq_factor")
    if kind == "yarn":
        values |= _yarn(rope, values["rope_factor"])
    return values


def window_theta(fields: Fields) -> float:
    """The base of the frequencies in layers with a window, where these have their own (Gemma 3).

    Raises:
      ConfigError: they are stretched, or rotate a part of the head.
      DataError: it is no number, or spellings contradict each other.
    """
    name = "sliding_attention"
    rope = _one_spelling(fields, f"rope_parameters.{name}", _nested(fields).get(name) or {})
    kind = rope.first("rope_type", default="default")
    if kind != "default" or rope.first("partial_rotary_factor", default=1) != 1:
        raise ConfigError(f"{rope.path}: frequencies that are stretched are not supported here")
    _refuse_unknown_parts(rope, "default")
    local = "rope_local_base_freq"
    both = {"rope_theta": rope.first("rope_theta"), local: fields.first(local)}
    return Fields(both, rope.path).number("rope_theta", local, default=1e4)


def _nested(fields: Fields) -> Mapping:
    """`rope_parameters` if it has an object for each kind of layer, else {}."""
    rope = fields.mapping("rope_parameters")
    if not any(name in LAYER_TYPES for name in rope):
        return {}
    for name, value in rope.items():
        if name not in LAYER_TYPES or not (value is None or isinstance(value, Mapping)):
            raise DataError(
                f"{fields.path}: rope_parameters.{name}={value!r} is no object of a kind of layer,"
                f" {' or '.join(LAYER_TYPES)}"
            )
    return rope


def _merged(fields: Fields) -> Fields:
    """The fields that all spellings give together, under the names of today. Where layers with a
    window have their own, these are those of the others.
    """
    rope, nested = fields.mapping("rope_parameters"), _nested(fields)
    if nested:
        family = fields.first("model_type")
        parts = [value for value in nested.values() if value]
        if family != "gemma3_text" and any(value != parts[0] for value in parts):
            raise ConfigError(
                f"{fields.path}: rope_parameters differ between kinds of layers, which is not"
                f" supported in model_type={family!r}"
            )
        own = [nested.get("full_attention")] if family == "gemma3_text" else parts
        rope = next(filter(None, own), {})
    top = ("rope_theta", "partial_rotary_factor", "rotary_emb_base", "rotary_pct")
    sources = {
        "rope_parameters": rope,
        "rope_scaling": fields.mapping("rope_scaling"),
        "": {name: fields.values[name] for name in top if name in fields.values},
    }
    merged: dict = {}
    for source, values in sources.items():
        for name, value in _one_spelling(fields, source, values).values.items():
            if merged.setdefault(name, value) != value:
                raise DataError(
                    f"{fields.path}: {name} is {merged[name]!r} and {value!r}, in two spellings;"
                    " remove the wrong one"
                )
    result = Fields(merged, f"{fields.path}: rope_parameters")
    kind = result.first("rope_type", default="default")
    if not isinstance(kind, str) or kind not in _NAMES:
        raise fields.unsupported("rope_parameters.rope_type", kind, ", ".join(_NAMES))
    _refuse_unknown_parts(result, kind)
    return result


def _one_spelling(fields: Fields, source: str, values: Mapping) -> Fields:
    """Values that are not null under the names of today."""
    own = Fields(values, f"{fields.path}: {source}" if source else fields.path)
    names = {_SPELLINGS.get(name, name): None for name in values}
    of_old = {new: old for old, new in _SPELLINGS.items()}
    current = {name: own.first(name, of_old.get(name, name)) for name in names}
    return Fields({name: value for name, value in current.items() if value is not None}, own.path)


def _refuse_unknown_parts(rope: Fields, kind: str) -> None:
    known = (*_ALWAYS, *_NAMES[kind])
    for name, value in rope.values.items():
        if name not in known and not (name == "factor" and value == 1):
            raise ConfigError(
                f"{rope.path}: {name}={value!r} is unknown with rope_type={kind!r}, which has"
                f" {', '.join(known)}"
            )


def _yarn(rope: Fields, factor: float) -> dict:
    amplitude = rope.number("attention_factor", default=0.0)
    mscale, mscale_all = (rope.number(n, default=0.0) for n in ("mscale", "mscale_all_dim"))
    if not amplitude and mscale and mscale_all:
        term = lambda scale: 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0
        amplitude = term(mscale) / term(mscale_all)
    return {
        "rope_beta_fast": rope.number("beta_fast", default=32.0),
        "rope_beta_slow": rope.number("beta_slow", default=1.0),
        "rope_truncate": rope.boolean("truncate", default=True),
        "rope_attention_factor": amplitude,
    }
