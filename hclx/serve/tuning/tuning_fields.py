"""Bodies of requests about tuning, and the settings of a job that clients may give."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hclx.config import DataConfig, OptimizerConfig, TrainConfig
from hclx.errors import guess, shown
from hclx.serve.api_error import invalid
from hclx.tune.tune_config import TuneConfig

NAME = re.compile(r"[\w.-]{1,60}")
Value = bool | int | float | str
# Others would name files of the server, or decide what only the server knows.
_TRAIN = (
    *("total_steps", "global_batch_size", "accumulation_steps", "sequence_length", "z_loss"),
    *("log_every", "eval_every", "eval_windows", "checkpoint_every", "seed", "spike_sigmas"),
)
_DATA = ("validation_permille", "max_documents")


def _names(kind: type, fields: tuple[str, ...]) -> list[str]:
    return [f"{kind.__name__}.{field}" for field in fields]


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


SETTINGS = (
    *_names(TuneConfig, tuple(field for field in _fields(TuneConfig) if field != "kind")),
    *_names(TrainConfig, _TRAIN),
    *_names(OptimizerConfig, _fields(OptimizerConfig)),
    *_names(DataConfig, _DATA),
)


class JobBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a job."""

    name: str
    dataset: str
    validation: str | None = None
    kind: Literal["prompt_tune", "p_tune", "prefix_tune", "lora", "finetune"] = "lora"
    epochs: Annotated[float, Meta(gt=0, le=1000)] | None = None
    prompt: dict | None = None
    too_long: Literal["refuse", "drop"] = "refuse"
    settings: dict[str, Value] = {}


def check_name(name: str) -> None:
    """Raises ApiError (400) for what is no name of a model."""
    if not NAME.fullmatch(name):
        text = f"name={shown(name)}: give 1 to 60 letters, digits, dots, hyphens or underscores"
        raise invalid(text, "name")


def check_settings(settings: Mapping[str, Value], epochs: float | None) -> None:
    """Raises ApiError (400) for a setting that a client may not give."""
    for name in settings:
        if name not in SETTINGS:
            text = f"settings: {shown(name)} is no setting of a job{guess(name, SETTINGS)}"
            raise invalid(text, "settings")
    if epochs is not None and "TrainConfig.total_steps" in settings:
        raise invalid("epochs and TrainConfig.total_steps: give one of them", "epochs")
