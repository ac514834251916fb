"""The data of vectors and pairs: rows become groups of texts, some are held out, all are packed.

A row has the fields of its objective:
  contrast     query, positive and, for some or all rows, negative
  similarity   text_a, text_b and score
  pair         those of `TuneConfig.template`, and label or score
"""

import collections
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hclx.errors import ConfigError, DataError, shown
from hclx.progress import counted
from hclx.prompts.template import Template, parse_template
from hclx.text import Tokenizer
from hclx.tune.row_files import Row
from hclx.tune.text_groups import Group, group_size, lay_out, pack_groups, score_bits
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningData, TuningText, split_rows

LABEL, SCORE = "label", "score"


def prepare_groups(
    text: TuningText,
    tokenizer: Tokenizer,
    vocab_size: int,
    config: TuneConfig,
    length: int,
    permille: int,
) -> TuningData:
    """Encodes, splits and packs the rows of a run. It is the same in every process.

    The arguments are those of `hclx.tune.tuning_data.prepare_examples`.

    Raises:
      ConfigError: a prompt document was given, or the template cannot be read.
      DataError: a row is malformed or too long, or a label or everything has no row.
    """
    if text.prompt:
        raise ConfigError(
            f"TuneConfig.objective={config.objective!r} takes rows as they are, without a prompt"
            " document; leave out --prompt or --suite"
        )
    encode = group_encoder(tokenizer, vocab_size, config)
    kept, n_dropped = [], 0
    for rows in split_rows(text, permille):
        groups = [(row, encode(row)) for row in rows]
        fitting = [group for _, group in groups if group_size(group) <= length]
        if text.too_long == "refuse" and len(fitting) < len(groups):
            raise _too_long(groups, length)
        n_dropped += len(groups) - len(fitting)
        kept.append(fitting)
    train, held_out = kept
    _check_groups(text.name, train, config, n_dropped)
    layout = lay_out(kept, length)
    packed = [
        pack_groups(part, length, layout, tokenizer.eod_id) if part else None for part in kept
    ]
    sizes = len(train), len(held_out), n_dropped
    labels, hashes = _label_counts(train, config), {"text": _hash(kept)}
    return TuningData(*packed, *sizes, labels, [], [], hashes, layout)


def group_encoder(
    tokenizer: Tokenizer, vocab_size: int, config: TuneConfig
) -> Callable[[Row], Group]:
    """Returns the function that encodes rows. The arguments are those of `prepare_groups`."""
    encode = text_encoder(tokenizer, vocab_size, config)
    wordings: dict[bytes, int] = {}

    def of_contrast(row: Row) -> Group:
        names = ("query", "positive", *(["negative"] if row.fields.get("negative") else []))
        texts = tuple(encode(_text(row, name)) for name in names)
        number = lambda tokens: wordings.setdefault(tokens.tobytes(), len(wordings))
        return Group(texts, tuple(map(number, texts)))

    def of_similarity(row: Row) -> Group:
        texts = tuple(encode(_text(row, name)) for name in ("text_a", "text_b"))
        return Group(texts, (0, score_bits(_score(row, config.score_max))))

    def of_pair(row: Row) -> Group:
        tokens = encode(pair_text(template, row.fields, row.where))
        names = config.label_names
        target = _label(row, names) if names else score_bits(_score(row, config.score_max))
        return Group((tokens,), (target,))

    template = parse_template(config.template)
    return {"contrast": of_contrast, "similarity": of_similarity, "pair": of_pair}[config.objective]


def text_encoder(
    tokenizer: Tokenizer, vocab_size: int, config: TuneConfig
) -> Callable[[str], np.ndarray]:
    """Returns the function that encodes a text: soft slots, if the method has some, the tokens that
    begin a document, the text, and the token that ends a document.
    """
    has_slots = config.kind in ("prompt_tune", "p_tune")
    head = [*(range(vocab_size, vocab_size + config.length) if has_slots else ())]
    head += tokenizer.begin_ids
    return lambda text: np.array([*head, *tokenizer.encode(text), tokenizer.eod_id], np.int32)


def pair_text(template: Template, fields: Mapping[str, str], where: str) -> str:
    """Returns a pair as one text.

    Args:
      template: parsed `TuneConfig.template`.
      fields: name -> text.
      where: of the pair, for messages.
    Raises:
      DataError: a field of the template is missing, is no text, or is empty.
    """
    row = Row(where, dict(fields))
    return template.text({name: _text(row, name) for name in template.fields})


def _text(row: Row, name: str) -> str:
    if name not in row.fields:
        raise DataError(f"{row.where} has no field {name!r}; it has {', '.join(row.fields)}")
    value = row.fields[name]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{row.where}: {name}={shown(value)} is no text, or an empty one")
    return value


def _label(row: Row, names: Sequence[str]) -> int:
    value = row.fields.get(LABEL)
    if str(value) not in names:
        raise DataError(
            f"{row.where}: {LABEL}={shown(value)} is not one of TuneConfig.labels,"
            f" {', '.join(names)}"
        )
    return names.index(str(value))


def _score(row: Row, highest: float) -> float:
    """The score of a row as a share of the highest one."""
    value = row.fields.get(SCORE)
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = float("nan")
    if isinstance(value, bool) or not 0 <= score <= highest:
        raise DataError(
            f"{row.where}: {SCORE}={shown(value)} is no number from 0 to"
            f" TuneConfig.score_max={highest:g}"
        )
    return score / highest


def _too_long(groups: Sequence[tuple[Row, Group]], length: int) -> DataError:
    long = [(row, group_size(group)) for row, group in groups if group_size(group) > length]
    row, longest = max(long, key=lambda pair: pair[1])
    return DataError(
        f"the texts of {counted(len(long), 'row')} of {len(groups)} have more than"
        f" TrainConfig.sequence_length={length} tokens, the longest {longest} ({row.where}); give a"
        " longer sequence, or --too_long=drop to leave them out"
    )


def _check_groups(name: str, train: Sequence[Group], config: TuneConfig, n_dropped: int) -> None:
    """Refuses a text of which nothing can be learnt, or nothing of one of the labels."""
    if not train:
        why = f"; {counted(n_dropped, 'row')} are too long" if n_dropped else ""
        raise DataError(f"{name} has no row to learn from{why}")
    for label, count in _label_counts(train, config).items():
        if not count:
            raise DataError(
                f"{name} has no row with the label {label!r} to learn from; add some, or remove it"
                " from TuneConfig.labels"
            )


def _label_counts(train: Sequence[Group], config: TuneConfig) -> dict[str, int]:
    if config.objective != "pair":
        return {}
    counts = collections.Counter(group.targets[0] for group in train)
    return {label: counts[number] for number, label in enumerate(config.label_names)}


def _hash(parts: Sequence[Sequence[Group]]) -> str:
    """A SHA-256 of all groups in their order, as tokens and targets."""
    digest = hashlib.sha256()
    for part in parts:
        for group in part:
            for tokens, target in zip(group.texts, group.targets):
                digest.update(np.array([len(tokens), target], np.int64).tobytes())
                digest.update(tokens.tobytes())
            digest.update(b";")
        digest.update(b"|")
    return digest.hexdigest()
