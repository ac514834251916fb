"""A corpus from its settings: which stages there are, in which order, and what each is made from.

Every stage ends before the next begins. Its key is made of its settings and of the key before it, so that a run which
was killed goes on where it was, and a changed setting makes again what depends on it and nothing else.
"""

import functools
import glob
import logging
import os
import time
from collections.abc import Sequence

from hclx.corpus import meetings, parts
from hclx.corpus.engine import Engine
from hclx.corpus.finish import finish
from hclx.corpus.ingest import format_of
from hclx.corpus.meetings import Part
from hclx.corpus.parts import FORMAT, RawFile
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import TAGGERS
from hclx.errors import DataError

_LOG = logging.getLogger(__name__)


def raw_files(settings: CorpusSettings, folder: str) -> list[RawFile]:
    """The files of all sources.

    Raises:
      DataError: a pattern matches nothing.
      ConfigError: what a file holds cannot be told.
    """
    files = []
    for name, source in settings.sources.items():
        found = sorted({path for pattern in source.input.split(",") for path in _matches(folder, pattern.strip())})
        if not found:
            raise DataError(f"sources.{name}.input: {os.path.join(folder, source.input)} matches no file")
        for index, path in enumerate(found):
            format_of(path, source.reading)
            about = os.stat(path)
            files.append(RawFile(name, index, path, about.st_size, about.st_mtime_ns, source.reading, settings.part_bytes))
    return files


def _matches(folder: str, pattern: str) -> list[str]:
    return [path for path in glob.glob(os.path.join(folder, pattern), recursive=True) if os.path.isfile(path)]


class Corpus:
    """A corpus that is being built, or was."""

    def __init__(self, settings: CorpusSettings, input_dir: str, output: str, engine: Engine):
        """Checks everything that can be checked before the first document is read.

        Raises:
          ConfigError, DataError: see `raw_files` and `check_rules`.
        """
        self.settings, self.store, self._engine = settings, Store(output), engine
        for name, source in settings.sources.items():
            parts.check_rules(source.rules, f"sources.{name}")
        self._files = raw_files(settings, input_dir)

    def build(self) -> None:
        """Makes what is not there yet."""
        self._stage("documents", lambda: self._engine.each(functools.partial(parts.ingest, store=self.store), self._files))
        found = self.parts()
        self._forget_others(found)
        tag = functools.partial(parts.tag, store=self.store, taggers=tuple(TAGGERS))
        self._stage("attributes", lambda: self._engine.each(tag, [part.name for part in found]))
        key = key_of(FORMAT, [file.key for file in self._files])
        for stage in meetings.STAGES:
            key = self._verdicts(stage, found, key)
        key = key_of(FORMAT, key, "finish", self.settings.seed)
        rules = {name: source.rules for name, source in self.settings.sources.items()}
        self._stage("finish", lambda: self._engine.each(functools.partial(_finish, store=self.store, rules=rules, seed=self.settings.seed, key=key), found))

    def parts(self) -> list[Part]:
        """The parts, in the order of sources and files.

        Raises:
          DataError: no document was found.
        """
        manifests = [self.store.read_json(f"documents/{file.name}.json") for file in self._files]
        names = [part["name"] for manifest in manifests for part in manifest["parts"]]
        if not names:
            raise DataError("no document was found in any source; see quarantine/ for what could not be read")
        return [Part(name, index) for index, name in enumerate(names)]

    def _stage(self, name: str, run) -> None:
        begin = time.perf_counter()
        run()
        _LOG.info("%s: %.1f s", name, time.perf_counter() - begin)

    def _forget_others(self, found: Sequence[Part]) -> None:
        """Removes what an earlier run made of files that are no longer part of this corpus."""
        names = {part.name for part in found} | {file.name for file in self._files}
        for folder in ("documents", "quarantine", "attributes", "verdicts", "signatures", "corpus", "figures"):
            for name in self.store.list(folder):
                if "/".join(name.split("/")[-2:]).split(".")[0] not in names:
                    self.store.remove(name)

    def _verdicts(self, stage: str, found: list[Part], before: str) -> str:
        """Runs a stage, unless its verdicts are there, and gives its key."""
        settings, store, engine = self.settings, self.store, self._engine
        chosen = {
            "filter": {name: list(source.rules.items()) for name, source in settings.sources.items()},
            "exact": True,
            "paragraph": settings.paragraph,
            "near": settings.near and (settings.near, settings.seed),
            "contamination": None,
        }[stage]
        if chosen is None:
            for name in store.list(f"verdicts/{stage}"):
                store.remove(name)
            return before
        key = key_of(before, stage, chosen)
        if all(store.is_done(f"verdicts/{stage}/{part.name}.parquet", key) for part in found):
            return key
        self._stage(stage, lambda: getattr(self, f"_{stage}")(found, key))
        return key

    def _filter(self, found: list[Part], key: str) -> None:
        rules = {name: source.rules for name, source in self.settings.sources.items()}
        self._engine.each(functools.partial(parts.judge, store=self.store, rules=rules, key=key), [part.name for part in found])

    def _exact(self, found: list[Part], key: str) -> None:
        give = functools.partial(meetings.give_exact, store=self.store, n=_n_partitions(found))
        write = functools.partial(meetings.write_clusters, store=self.store, stage="exact", key=key)
        self._engine.meet([(give, meetings.meet_exact)], write, found)

    def _paragraph(self, found: list[Part], key: str) -> None:
        shortest = self.settings.paragraph.min_chars
        give = functools.partial(meetings.give_paragraphs, store=self.store, n=_n_partitions(found), min_chars=shortest)
        write = functools.partial(meetings.write_paragraphs, store=self.store, min_left=shortest, key=key)
        self._engine.meet([(give, meetings.meet_paragraphs)], write, found)

    def _near(self, found: list[Part], key: str) -> None:
        near, n = self.settings.near, _n_partitions(found)
        self._engine.each(functools.partial(meetings.sign, store=self.store, settings=self.settings, key=key), found)
        rounds = [
            (functools.partial(meetings.give_bands, store=self.store, n=n, near=near), meetings.meet_bands),
            (
                functools.partial(meetings.give_signatures, store=self.store, n=n, near=near),
                functools.partial(meetings.meet_signatures, near=near),
            ),
            (meetings.give_pairs, meetings.meet_pairs),
        ]
        write = functools.partial(meetings.write_clusters, store=self.store, stage="near", key=key)
        self._engine.meet(rounds, write, found)


def _finish(part: Part, store: Store, rules, seed: int, key: str) -> None:
    finish(part, store, rules[part.name.split("/")[0]], seed, key)


def _n_partitions(found: Sequence[Part]) -> int:
    """In how many places what meets is divided; the result does not depend on it."""
    return max(16, len(found))
