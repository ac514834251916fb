"""The methods of tuning: for each kind, which parameters it trains, where they begin, and how they
change what the decoder computes with.

The tree of a tuned model is that of its base, {embedding, blocks, final_norm[, head]}, and the
method's own under "tune", where the head of a judge of pairs is, too. A train state has the base as
`frozen` and {"tune": ...} as `trainable`, so that only the latter has gradients, moments and a
place in checkpoints; their `merge` is the tuned model. In full fine-tuning the base itself is
trainable, and "tune" has no more than that head, if there is one.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax

from hclx.model import Params, Prefix
from hclx.model_config import ModelConfig
from hclx.tune.initial_values import Tokens
from hclx.tune.lora import init_lora, lora_specs, with_low_rank
from hclx.tune.pair_head import HEAD, PairHead, head_specs, init_head
from hclx.tune.prefix_tuning import init_prefix, make_prefix, prefix_specs
from hclx.tune.prompt_encoder import encode_prompt, encoder_specs, init_encoder
from hclx.tune.soft_prompt import init_table, table_specs
from hclx.tune.tune_config import TuneConfig


class Tuned(NamedTuple):
    """A tuned model, as the decoder computes with it.

    Attributes:
      params: {embedding, blocks, final_norm[, head]}; weights may be `LowRankWeight`s.
      table_pd: the vectors of soft slots, which are the token ids from `vocab_size` on; None: there
        are none.
      prefix: keys and values of all layers, before every document; None: there are none.
      head: of a judge of pairs; None: it is none.
    """

    params: Params
    table_pd: jax.Array | None = None
    prefix: Prefix | None = None
    head: PairHead | None = None


@dataclasses.dataclass(frozen=True)
class Method:
    """A kind of tuning, as functions.

    Attributes:
      specs: (model, config) -> tree of `ParamSpec`, of what is under "tune".
      init: (model, config, base, key, tokens of texts) -> tree of float32 arrays like it.
      apply: (base, tree, model, config, key of dropout or None) -> Tuned.
    """

    specs: Callable[[ModelConfig, TuneConfig], Params]
    init: Callable[[ModelConfig, TuneConfig, Params, jax.Array, Tokens], Params]
    apply: Callable[[Params, Params, ModelConfig, TuneConfig, jax.Array | None], Tuned]


def _with_changes(base, tree, model, config, key):
    return Tuned({**base, "blocks": with_low_rank(base["blocks"], tree, model, config, key)})


METHODS = {
    "prompt_tune": Method(
        table_specs, init_table, lambda base, tree, *others: Tuned(base, tree["table"])
    ),
    "p_tune": Method(
        encoder_specs, init_encoder, lambda base, tree, *others: Tuned(base, encode_prompt(tree))
    ),
    "prefix_tune": Method(
        prefix_specs,
        init_prefix,
        lambda base, tree, *others: Tuned(base, prefix=make_prefix(tree)),
    ),
    "lora": Method(lora_specs, init_lora, _with_changes),
    "finetune": Method(
        lambda *arguments: {},
        lambda *arguments: {},
        lambda base, tree, *others: Tuned(base),
    ),
}


def tune_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of all that is under "tune"."""
    return {**METHODS[config.kind].specs(model, config), **head_specs(model, config)}


def init_tune(
    model: ModelConfig, config: TuneConfig, base: Params, key: jax.Array, tokens: Tokens
) -> Params:
    """The initial values of `tune_specs`. The arguments are those of `Method.init`."""
    own = METHODS[config.kind].init(model, config, base, key, tokens)
    return {**own, **init_head(model, config, key)}


def apply_method(
    params: Params, model: ModelConfig, config: TuneConfig, key: jax.Array | None = None
) -> Tuned:
    """Returns the tuned model of merged parameters.

    Args:
      params: the base, and the method's own under "tune", float32.
      model: the base's shape.
      config: the method and its settings.
      key: of dropout; None: there is none.
    """
    base = {name: tree for name, tree in params.items() if name != "tune"}
    tree = dict(params.get("tune", {}))
    head = tree.pop(HEAD, None)
    tuned = METHODS[config.kind].apply(base, tree, model, config, key)
    return tuned if head is None else tuned._replace(head=PairHead(**head))


def without_encoder(
    tune: Params, model: ModelConfig, config: TuneConfig
) -> tuple[TuneConfig, Params]:
    """Computes what an encoder or an MLP makes, once and for all: a p-tuned model is then one with
    a soft prompt, and a reparameterised prefix is one of keys and values. Training cannot go on
    with the encoder from there.

    Args:
      tune: the method's parameters, the tree under "tune".
      model: the base's shape.
      config: the method and its settings.
    Returns:
      The settings and parameters of the plain method; what was given, if that is plain.
    """
    if config.kind == "p_tune":
        plain = dataclasses.replace(config, kind="prompt_tune")
        return plain, {"table": encode_prompt(tune)}
    if config.kind == "prefix_tune" and config.reparameterise:
        k, v = make_prefix(tune)
        plain = dataclasses.replace(config, reparameterise=False)
        return plain, {"kv": jax.numpy.stack([k, v], axis=2)}
    return config, tune
