"""The corpus pipeline: PIPELINE lists its stages in order, and `Corpus` runs them.

Every stage ends before the next one begins. The key of a stage is a hash of its settings and of
what the stages before it left of every shard, so that a run that was killed resumes where it was,
and a change repeats the stages that see it and no others.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence

from hclx.corpus import (
    decontamination,
    dedup,
    duplicate_paragraphs,
    filters,
    mixing,
    near_duplicates,
    readers,
    write_clean,
)
from hclx.corpus.layout import (
    CONTAMINATION_REPORT,
    FORMAT,
    PER_SHARD,
    VERDICTS,
    VERDICTS_OF_STAGE,
    Build,
    Evaluation,
    Shard,
    write_settings,
    write_skipped,
)
from hclx.corpus.quality_models import fingerprint
from hclx.corpus.raw_files import check_input_folder, raw_files, refuse_output_as_input
from hclx.corpus.runner import Runner
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.settings_errors import MissingInputError
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import TAGGERS, all_taggers
from hclx.corpus.text_batch import TextBatch
from hclx.corpus.verdicts import input_key
from hclx.errors import DataError

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Attributes:
      name: of the stage, and of the folder of its verdicts if it removes documents.
      settings: (build) -> the JSON values that decide its verdicts, or None if it is switched off.
        A stage without this function checks every file by that file's own key.
      function: (build, key) -> None. The key is that of the verdicts; "" for a stage without
        settings, or whose verdicts have keys of their own.
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
    Stage("exact", lambda build: dedup.VERSION, dedup.remove_exact_duplicates),
    Stage(
        "paragraph",
        duplicate_paragraphs.paragraph_settings,
        duplicate_paragraphs.remove_duplicate_paragraphs,
    ),
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
        check_input_folder(input_dir)
        # A worker may run in another folder.
        output, input_dir = (
            path if "://" in path else os.path.abspath(path) for path in (output, input_dir)
        )
        files = {name: os.path.abspath(path) for name, path in settings.models.items()}
        models = {name: _fingerprint(name, path) for name, path in files.items()}
        for name, source in settings.sources.items():
            where = ["sources", name]
            filters.check_rules(source.rules, settings.models, [*where, "rules"])
            filters.check_expression(source.where, settings.models, [*where, "where"])
        refuse_output_as_input(settings, input_dir, output)
        self.settings, self.store, self._skipped = settings, Store(output), {}
        self._build = Build(
            settings=settings,
            store=self.store,
            runner=runner,
            files=tuple(raw_files(settings, input_dir, self._skipped)),
            taggers={**dict.fromkeys(TAGGERS, ""), **files},
            models=models,
            evaluation=evaluation or {},
        )

    def build(self) -> None:
        """Runs the stages whose results do not exist yet; they write below the output folder.

        Raises:
          DataError: no document was found.
          HclxError: a stage raised it.
        """
        write_settings(self.store, self.settings)
        write_skipped(self.store, self._skipped)
        for stage in PIPELINE:
            _run_stage(stage, self._build)

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


def _run_stage(stage: Stage, build: Build) -> None:
    """Runs a stage, unless all of its verdicts exist."""
    key = ""
    if stage.settings:
        settings = stage.settings(build)
        if settings is None:
            folders = VERDICTS_OF_STAGE.format(stage=stage.name), os.path.dirname(stage.report)
            for folder in filter(None, folders):
                for path in build.store.list(folder):
                    build.store.remove(path)
            return
        if not stage.is_by_shard:
            seen = [(s.name, input_key(s, build.store, before=stage.name)) for s in build.shards]
            key = key_of(FORMAT, stage.name, settings, seen)
            paths = [shard.file(VERDICTS, stage=stage.name) for shard in build.shards]
            paths += [stage.report] if stage.report else []
            if all(build.store.is_done(path, key) for path in paths):
                return
    begin = time.perf_counter()
    stage.function(build, key)
    _LOG.info("%s: %.1f s", stage.name, time.perf_counter() - begin)


def _fingerprint(model: str, path: str) -> str:
    """The hash of the file that `models` names, which can be read as a model."""
    try:
        all_taggers({model: path})[model](TextBatch.of(["가"]))
        return fingerprint(path)
    except DataError as error:
        raise MissingInputError(f"models.{model}: {error}", ["models", model]) from error
