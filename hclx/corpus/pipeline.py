"""The corpus pipeline: PIPELINE lists its stages in order, and `Corpus` runs them.

Every stage ends before the next one begins. The key of a stage is a hash of its settings and of the
key before it, so that a run that was killed resumes where it was, and a changed setting repeats the
stages that depend on it and no others.
"""

import dataclasses
import logging
import os
import time
import unicodedata
from collections.abc import Callable, Sequence

from hclx.corpus import (
    decontamination,
    dedup,
    filters,
    mixing,
    near_duplicates,
    readers,
    write_clean,
)
from hclx.corpus.expression import attributes_of
from hclx.corpus.layout import (
    CONTAMINATION_REPORT,
    FORMAT,
    PER_SHARD,
    VERDICTS,
    VERDICTS_OF_STAGE,
    Build,
    Evaluation,
    RawFile,
    Shard,
    write_settings,
)
from hclx.corpus.quality_models import fingerprint
from hclx.corpus.runner import Runner
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import TAGGERS
from hclx.errors import ConfigError, DataError
from hclx.progress import counted
from hclx.text.formats import KINDS, format_of
from hclx.text.inputs import common_folder, find, may_match, others, split_patterns

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Attributes:
      name: of the stage, and of the folder of its verdicts if it removes documents.
      settings: (build) -> the JSON values that decide its verdicts, or None if it is switched off.
        A stage without this function checks every file by that file's own key.
      function: (build, key) -> None. The key is that of the stage's verdicts; for a stage without
        verdicts, of the stage before it.
      report: a file that it writes last, in a folder of its own, if there is one.
      is_by_shard: its verdicts on a shard do not depend on other shards, and have keys of their
        own.
    """

    name: str
    settings: Callable[[Build], object] | None
    function: Callable[[Build, str], None]
    report: str = ""
    is_by_shard: bool = False


def remove_leftovers(build: Build, key: str = "", folders: Sequence[str] = PER_SHARD) -> None:
    """Removes files of an earlier run that are no longer part of this corpus, or not whole:
    those of shards and raw files that do not exist now, and *.tmp.

    Args:
      build: the inputs of the corpus; its shards exist.
      key: not used.
      folders: names of the folders below the corpus that are searched.
    Raises:
      DataError: no document was found.
    """
    names = {shard.name for shard in build.shards} | {file.name for file in build.files}
    for folder in folders:
        for path in build.store.list(folder):
            is_partial = path.endswith(".tmp")  # a process was killed while it wrote
            name = "/".join(path.split("/")[-2:]).split(".")[0]  # SOURCE/FILE-SHARD
            if is_partial or (path.count("/") > 1 and name not in names):
                build.store.remove(path)


PIPELINE = (
    Stage("documents", None, readers.ingest),
    Stage("leftovers", None, remove_leftovers),
    Stage("attributes", None, filters.write_attributes),
    Stage("filter", filters.filter_settings, filters.apply_rules, is_by_shard=True),
    Stage("exact", lambda build: True, dedup.remove_exact_duplicates),
    Stage("paragraph", dedup.paragraph_settings, dedup.remove_duplicate_paragraphs),
    Stage("near", near_duplicates.near_settings, near_duplicates.remove_near_duplicates),
    Stage(
        "contamination",
        decontamination.decontamination_settings,
        decontamination.remove_contaminated,
        report=CONTAMINATION_REPORT,
    ),
    Stage("finish", None, write_clean.write_clean),
)


class Corpus:
    """A corpus that is being built, or was built: `Corpus(...).build()`, then `mix()` if wanted."""

    def __init__(
        self,
        settings: CorpusSettings,
        input_dir: str,
        output: str,
        runner: Runner,
        evaluation: Evaluation | None = None,
    ):
        """Checks everything that can be checked before the first document is read.

        Args:
          settings: of the corpus.
          input_dir: the folder that the sources' patterns are under.
          output: the folder of the corpus, or its address, see `hclx.corpus.store`.
          runner: runs the stages.
          evaluation: evaluation set -> texts of each example; if `settings.contamination` is set.
        Raises:
          ConfigError, DataError: see `raw_files` and `check_rules`.
        """
        # A worker may run in another folder.
        output, input_dir = (
            path if "://" in path else os.path.abspath(path) for path in (output, input_dir)
        )
        for name, source in settings.sources.items():
            where = f"sources.{name}.where"
            filters.check_rules(source.rules, settings.models, f"sources.{name}")
            for attribute in attributes_of(source.where, where) if source.where else ():
                filters.check_attribute(attribute, settings.models, where)
        _refuse_output_as_input(settings, input_dir, output)
        models = {name: os.path.abspath(path) for name, path in settings.models.items()}
        self.settings, self.store = settings, Store(output)
        self._build = Build(
            settings=settings,
            store=self.store,
            runner=runner,
            files=tuple(raw_files(settings, input_dir)),
            taggers={**dict.fromkeys(TAGGERS, ""), **models},
            models={name: fingerprint(path) for name, path in models.items()},
            evaluation=evaluation or {},
        )

    def build(self) -> None:
        """Runs the stages whose results do not exist yet; they write below the output folder.

        Raises:
          DataError: no document was found.
          HclxError: a stage raised it.
        """
        write_settings(self.store, self.settings)
        key = key_of(FORMAT, [file.key for file in self._build.files])
        for stage in PIPELINE:
            key = _run_stage(stage, self._build, key)

    def mix(self, target_tokens: float = 0, tokenizer_dir: str = "") -> dict[str, mixing.Share]:
        """Writes mixture/: JSON lines, and the rates of the sources. Call `build` before.

        Args:
          target_tokens: tokens of the mixture; 0: every source as often as its `epochs` says.
          tokenizer_dir: a tokenizer to measure bytes a token with, see `MixSettings`; or "".
        Returns:
          source -> its share, see `hclx.corpus.mixing.solve`.
        Raises:
          HclxError: see `Build.map_shards`.
        """
        remove_leftovers(self._build, folders=("mixture",))
        begin = time.perf_counter()
        shares = mixing.write_mixture(self._build, target_tokens, tokenizer_dir)
        _LOG.info("mixture: %.1f s", time.perf_counter() - begin)
        return shares

    @property
    def shards(self) -> list[Shard]:
        """The shards, in the order of sources and files.

        Raises:
          DataError: no document was found.
        """
        return self._build.shards


def _run_stage(stage: Stage, build: Build, key: str) -> str:
    """Runs a stage, unless all of its verdicts exist, and returns the key of the verdicts."""
    if stage.settings:
        settings = stage.settings(build)
        if settings is None:
            folders = VERDICTS_OF_STAGE.format(stage=stage.name), os.path.dirname(stage.report)
            for folder in filter(None, folders):
                for path in build.store.list(folder):
                    build.store.remove(path)
            return key
        key = key_of(key, stage.name, settings)
        paths = [shard.file(VERDICTS, stage=stage.name) for shard in build.shards]
        paths += [stage.report] if stage.report else []
        if not stage.is_by_shard and all(build.store.is_done(path, key) for path in paths):
            return key
    begin = time.perf_counter()
    stage.function(build, key)
    _LOG.info("%s: %.1f s", stage.name, time.perf_counter() - begin)
    return key


def _refuse_output_as_input(settings: CorpusSettings, input_dir: str, output: str) -> None:
    """Refuses an output that the patterns of a source would read at the next run.

    Raises:
      ConfigError: names the source.
    """
    folder = f"{input_dir.rstrip('/')}/"
    if not f"{output}/".startswith(folder):
        return
    inside = output[len(folder) :].strip("/")
    written = [f"{name}/s/x.{end}" for name in PER_SHARD for end in ("parquet", "json", "jsonl")]
    written += ["mixture/s/x.jsonl.gz", "mixture/s/x.json", "card.json", "settings.json"]
    for name, source in settings.sources.items():
        for pattern in split_patterns(source.input, Store(input_dir)):
            if any(may_match(pattern, f"{inside}/{file}") for file in written):
                raise ConfigError(
                    f"sources.{name}.input: {pattern} would read the files of --output,"
                    f" {output}, at the next run; name a folder outside of the input"
                )


def raw_files(settings: CorpusSettings, folder: str) -> list[RawFile]:
    """The raw files of all sources, in the order of the settings and, within a source, of names.

    Args:
      settings: of the corpus; the `input` of each source is one or more paths or patterns below the
        folder, joined by commas, see `hclx.text.inputs`.
      folder: a folder or an address, see `hclx.corpus.store`.
    Raises:
      DataError: no pattern of a source matches a file.
      ConfigError: the format of a file is neither set nor told by its name.
    """
    files, place = [], Store(folder)
    for name, source in settings.sources.items():
        patterns = split_patterns(source.input, place)
        matches: set[str] = set()
        for pattern in patterns:
            paths, skipped = find(pattern, place)
            matches.update(paths)
            if skipped:
                _LOG.info("sources.%s: %s skipped", name, others(skipped))
            if not paths:
                where = f"sources.{name}.input: {place.path(pattern)}"
                if not skipped:
                    raise DataError(f"{where} matches no file")
                raise DataError(f"{where}: of {counted(skipped, 'file')} below it none is {KINDS}")
        depth = common_folder(patterns).count(
            "/"
        )  # a file's name may be of another form of Unicode
        for shown in sorted(matches):
            format_of(shown, source.reading)
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


def _document_name(path: str, depth: int) -> str:
    """The name, in NFC, that documents without an id have of their file: its path without the first
    `depth` folders.
    """
    names = [name for name in path.split("/") if name]
    return unicodedata.normalize("NFC", "/".join(names[depth:]))
