"""The raw files of the sources: which there are, and what their documents are named after."""

import logging
import os
import re
import unicodedata

from hclx.corpus.layout import PER_SHARD, RawFile
from hclx.corpus.settings import CorpusSettings, SourceSettings
from hclx.corpus.settings_errors import MissingInputError, SettingsError
from hclx.corpus.store import Store
from hclx.errors import ConfigError, DataError
from hclx.progress import counted
from hclx.text.formats import KINDS, format_of
from hclx.text.inputs import (
    common_depth,
    corpus_among,
    find,
    may_match,
    nothing,
    others,
    split_patterns,
)

_LOG = logging.getLogger(__name__)


def refuse_output_as_input(settings: CorpusSettings, input_dir: str, output: str) -> None:
    """Refuses an output that would be written among the raw files, or that the patterns of a source
    would read at the next run.

    Raises:
      ConfigError: names the folder, or the source.
    """
    folder = f"{input_dir.rstrip('/')}/"
    real = [path if "://" in path else os.path.realpath(path) for path in (input_dir, output)]
    of_output = folder.removeprefix(f"{output.rstrip('/')}/").split("/")[0]
    if real[0].rstrip("/") == real[1].rstrip("/"):
        raise ConfigError(f"--output is {output}, the folder of --input; name another folder")
    if of_output in {name.split("/")[0] for name in (*PER_SHARD, "mixture")}:
        raise ConfigError(
            f"--input is {input_dir}, where the files of --output={output} are written; name"
            " another folder for one of them"
        )
    if not f"{output}/".startswith(folder):
        return
    inside = output[len(folder) :].strip("/")
    written = [f"{name}/s/x.{end}" for name in PER_SHARD for end in ("parquet", "json", "jsonl")]
    written += ["mixture/s/x.jsonl.gz", "mixture/s/x.json", "card.json", "settings.json"]
    for name, source in settings.sources.items():
        for pattern in _patterns(name, source, Store(input_dir)):
            if any(may_match(pattern, f"{inside}/{file}") for file in written):
                raise SettingsError(
                    f"sources.{name}.input: {pattern} would read the files of --output,"
                    f" {output}, at the next run; name a folder outside of the input",
                    ["sources", name, "input"],
                )


def check_input_folder(path: str) -> None:
    """Refuses an --input that is no folder.

    Raises:
      DataError: says what it is instead.
    """
    if (kind := Store(path).kind("")) != "folder":
        held = "is a file; name the folder that it is in" if kind else "does not exist"
        raise DataError(f"--input={path} {held}")


def _patterns(name: str, source: SourceSettings, place: Store) -> list[str]:
    """The patterns of a source, below the input folder.

    Raises:
      SettingsError: one leads elsewhere.
    """
    # A path that leads there from the top, or from the user's folder, is as good.
    text = re.sub(r"(^|,)\s*(~)(?=/)", lambda m: m[1] + os.path.expanduser("~"), source.input)
    text = re.sub(rf"(^|,)\s*{re.escape(place.root.rstrip('/'))}(?=/|,|$)", r"\1.", text)
    patterns, where = split_patterns(text, place), ["sources", name, "input"]
    if not patterns:
        raise SettingsError(f"sources.{name}.input is empty; name files below --input", where)
    for pattern in patterns:
        if pattern.startswith(("/", "~")) or "://" in pattern:
            raise SettingsError(
                f"sources.{name}.input: {pattern} is not below --input={place.root}; write a path"
                " below that folder, or give --input a folder that all sources are below",
                where,
            )
    return patterns


def raw_files(
    settings: CorpusSettings, folder: str, skipped: dict[str, list[str]] | None = None
) -> list[RawFile]:
    """The raw files of all sources, in the order of the settings and, within a source, of names.

    Args:
      settings: of the corpus; the `input` of each source is one or more paths or patterns below the
        folder, joined by commas, see `hclx.text.inputs`.
      folder: a folder or an address, see `hclx.corpus.store`.
      skipped: takes source -> files below its folders that are of no known format, if there are.
    Raises:
      DataError: no pattern of a source matches a file.
      ConfigError: the format of a file is neither set nor told by its name.
    """
    files, place = [], Store(folder)
    for name, source in settings.sources.items():
        patterns, where = _patterns(name, source, place), ["sources", name, "input"]
        matches: set[str] = set()
        unknown: set[str] = set()
        for pattern in patterns:
            paths, of_others = find(pattern, place, any_kind=bool(source.format))
            matches.update(paths)
            unknown.update(of_others)
            if of_others:
                _LOG.info("sources.%s: %s skipped", name, others(len(of_others)))
            if not paths:
                message = f"sources.{name}.input: {place.path(pattern)}"
                if not of_others:
                    raise MissingInputError(f"{message} {nothing(pattern, place)}", where)
                n = counted(len(of_others), "file")
                raise MissingInputError(f"{message}: of {n} below it none is {KINDS}", where)
            if built := corpus_among(paths, place):
                raise SettingsError(
                    f"sources.{name}.input: {place.path(built)} is a corpus that was built; its"
                    f" documents are {built}/mixture/*/*.jsonl.gz",
                    where,
                )
        if skipped is not None and unknown - matches:
            skipped[name] = sorted(unknown - matches)
        depth = common_depth(patterns, place)
        for shown in sorted(matches):
            _check_format(name, shown, source)
            info = place.info(shown)
            files.append(
                RawFile(
                    source=name,
                    path=place.path(shown),
                    shown=shown,
                    document_name=_document_name(shown, depth),
                    size=info.size,
                    modified=info.mtime_ns,
                    reading=source.reading,
                    shard_bytes=settings.part_bytes,
                )
            )
    return files


def _check_format(name: str, path: str, source: SourceSettings) -> None:
    """Refuses a file whose format neither its source nor its name tells."""
    try:
        format_of(path, source.reading)
    except ConfigError as error:
        raise SettingsError(f"sources.{name}: {error}", ["sources", name, "input"]) from error


def _document_name(path: str, depth: int) -> str:
    """The name, in NFC, that documents without an id have of their file: its path without the first
    `depth` folders.
    """
    names = [name for name in path.split("/") if name]
    return unicodedata.normalize("NFC", "/".join(names[depth:]))
