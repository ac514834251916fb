"""Makes an augmentation of the options of a command."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hclx.augment.augmentation import Augmentation
from hclx.augment.line_filters import Bounds
from hclx.augment.seeds import Seed, read_rows, read_seeds
from hclx.augment.words import METHODS, built_in_prompt
from hclx.errors import ConfigError, DataError, shown
from hclx.infer import SamplingConfig
from hclx.prompts import PromptDocument, load_prompt


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of a command.

    Attributes:
      seeds: of labelled texts, see `read_rows`; None: there are none, which "transfer" allows.
      prompt: a file with a prompt document; None: `template`.
      template: of `BUILT_IN`; None: that of the method's name.
      text, label: columns of the seeds.
      encoding: of all files but the prompt; "": UTF-8.
      exclude: evaluation sets.
      exclude_column: the column of their texts; None: that of the seeds.
    """

    seeds: str | None = None
    prompt: str | None = None
    template: str | None = None
    text: str = "text"
    label: str = "label"
    encoding: str = ""
    exclude: tuple[str, ...] = ()
    exclude_column: str | None = None

    def evaluation_sets(self) -> dict[str, list[str]]:
        """Returns file -> its texts; empty ones are left out.

        Raises:
          DataError: a file cannot be read, lacks the column, or has no text.
        """
        column, sets = self.exclude_column or self.text, {}
        for path in self.exclude:
            rows = list(read_rows(path, self.encoding))
            is_empty = lambda row: row.values.get(column, "?") in ("", None)
            sets[path] = [row.text(column) for row in rows if not is_empty(row)]
            if not sets[path]:
                raise DataError(f"{path} has no texts in the column {column!r}")
        return sets


def augmentation_of(
    method: str,
    files: Files,
    words: tuple[str, str],
    labels: Sequence[str],
    sampling: Mapping[str, Any],
    bounds: Bounds,
    **settings: Any,
) -> Augmentation:
    """Returns the augmentation that options describe.

    Args:
      method, bounds: see `Augmentation`.
      files: that are read.
      words: the names of a text and of a label, for a prompt that ships.
      labels: "KEY=WORDS" or "WORDS" each; none: the choices of the prompt, or the seeds' labels.
      sampling: settings of `SamplingConfig`; those that are None are the prompt's, or the default.
      settings: the other fields.
    Raises:
      ConfigError, DataError: name what is wrong.
    """
    if method not in METHODS:
        raise ConfigError(f"--method={method}: give {', '.join(METHODS)}")
    if files.prompt and files.template:
        raise ConfigError("--prompt does not go with --template; give one of them")
    seeds: tuple[Seed, ...] = ()
    if files.seeds:
        seeds = read_seeds(files.seeds, files.text, files.label, files.encoding)
    named = named_labels(labels) or {label: label for label in sorted({s.label for s in seeds})}
    if not named:
        raise ConfigError("there are no labels; give --labels=WORDS,... or --seeds=FILE")
    if files.prompt:
        document = load_prompt(files.prompt)
        if document.choices and labels:
            raise ConfigError(f"--labels does not go with {files.prompt}, which has choices")
        if document.shares_choices:
            named = {key: template.text({}) for key, template in document.choices.items()}
    else:
        document = built_in_prompt(files.template or method, *words, named)
    drawn = _sampling(document, sampling)
    return Augmentation(method, document, named, seeds, sampling=drawn, bounds=bounds, **settings)


def named_labels(entries: Sequence[str]) -> dict[str, str]:
    """Returns key -> words. Raises ConfigError if an entry has none, or two have one key or the
    same words.
    """
    named: dict[str, str] = {}
    for entry in entries:
        key, equals, words = entry.partition("=")
        key, words = key.strip(), (words if equals else key).strip()
        if not key or not words or key in named or words in named.values():
            raise ConfigError(
                f"--labels: {shown(entry)} is no KEY=WORDS, or has a key or words for the second"
                " time; give each label once, such as --labels=0=부정,1=긍정"
            )
        named[key] = words
    return named


def _sampling(document: PromptDocument, options: Mapping[str, Any]) -> SamplingConfig:
    own = {name: value for name, value in document.sampling.items() if name != "max_tokens"}
    chosen = {name: value for name, value in options.items() if value is not None}
    settings = {"temperature": 1.0, **own, **chosen}
    settings.pop("seed", None)  # each line has its own
    return SamplingConfig(**settings)
