"""Describes a folder of the transformers library without reading its weights."""

import dataclasses
from collections import Counter
from pathlib import Path

from hclx.config import ModelConfig
from hclx.convert.importing import OWN_TOKENIZER, look_at
from hclx.errors import HclxError
from hclx.model import n_params
from hclx.text import load_tokenizer


def describe(folder: str | Path) -> list[str]:
    """Returns lines on the family, the shape, the tensors and the tokenizer of a folder.

    Raises:
      ConfigError, DataError: what `import` would refuse, as it would say it.
    """
    folder = Path(folder)
    source = look_at(folder)
    config = source.config
    defaults = ModelConfig()
    fields = [
        f"{field.name}={getattr(config, field.name)!r}"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(defaults, field.name)
    ]
    dtypes = Counter(tensor.dtype.name for tensor in source.tensors.values())
    files = {tensor.path.name for tensor in source.tensors.values()}
    held = ", ".join(f"{count:,} {name}" for name, count in sorted(dtypes.items()))
    lines = [
        f"family      {source.family}",
        f"shape       {', '.join(fields)}",
        f"parameters  {n_params(config):,}",
        f"tensors     {held}; in {len(files):,} {'file' if len(files) == 1 else 'files'}",
    ]
    own = folder / OWN_TOKENIZER
    try:
        tokenizer = load_tokenizer(own if own.is_dir() else folder)
        lines.append(
            f"tokenizer   {tokenizer.vocab_size:,} tokens; {tokenizer.eod_id} ends a document"
        )
    except HclxError as error:
        lines.append(f"tokenizer   would be refused: {error}")
    if source.ignored:
        lines.append(f"ignored     {len(source.ignored):,} buffers, first {source.ignored[0]}")
    return [*lines, *(f"note        {note}" for note in source.notes)]
