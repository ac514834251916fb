"""A corpus from its settings: which stages there are, in which order, and what each is made from.

Every stage ends before the next begins. Its key is made of its settings and of the key before it,
so that a run which was killed goes on where it was, and a changed setting makes again what depends
on it and nothing else.
"""

import dataclasses
import functools
import logging
import os
import time
from collections.abc import Sequence

from hclx.corpus import decontamination, dedup, mixing, stages
from hclx.corpus.expression import attributes_of
from hclx.corpus.manifest import parts_of, write_settings
from hclx.corpus.mixing import Share
from hclx.corpus.quality_models import fingerprint
from hclx.corpus.readers import format_of
from hclx.corpus.runner import Engine
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.stages import FORMAT, Part, RawFile
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import TAGGERS
from hclx.corpus.write_clean import finish
from hclx.errors import DataError

_LOG = logging.getLogger(__name__)


def raw_files(settings: CorpusSettings, folder: str) -> list[RawFile]:
    """The files of all sources.

    Args:
      folder: a folder or an address, see `hclx.corpus.store`.
    Raises:
      DataError: a pattern matches nothing.
      ConfigError: what a file holds cannot be told.
    """
    files, place = [], Store(folder)
    for name, source in settings.sources.items():
        found = {
            shown: about
            for pattern in source.input.split(",")
            for shown, about in place.glob(pattern.strip()).items()
        }
        if not found:
            raise DataError(f"sources.{name}.input: {place.path(source.input)} matches no file")
        for index, (shown, about) in enumerate(sorted(found.items())):
            format_of(shown, source.reading)
            files.append(
                RawFile(
                    name,
                    index,
                    place.path(shown),
                    shown,
                    about.size,
                    about.mtime_ns,
                    source.reading,
                    settings.part_bytes,
                )
            )
    return files


# Of which each holds a file for every part, or for every raw file.
FOLDERS = ("documents", "quarantine", "attributes", "verdicts", "signatures", "corpus", "figures")
EvaluationItems = dict[str, list[tuple[str, ...]]]


class Corpus:
    """A corpus that is being built, or was."""

    def __init__(
        self,
        settings: CorpusSettings,
        input_dir: str,
        output: str,
        engine: Engine,
        evaluation: EvaluationItems | None = None,
    ):
        """Checks everything that can be checked before the first document is read.

        Args:
          input_dir: the folder that the sources' patterns are under.
          output: a folder or an address, see `hclx.corpus.store`.
          evaluation: set -> texts of each example, where `settings.contamination` is set.
        Raises:
          ConfigError, DataError: see `raw_files` and `check_rules`.
        """
        # a worker may run elsewhere
        output, input_dir = (
            place if "://" in place else os.path.abspath(place) for place in (output, input_dir)
        )
        self.settings, self.store, self._engine = settings, Store(output), engine
        for name, source in settings.sources.items():
            stages.check_rules(source.rules, settings.models, f"sources.{name}")
            for attribute in (
                attributes_of(source.where, f"sources.{name}.where") if source.where else ()
            ):
                stages.check_attribute(attribute, settings.models, f"sources.{name}.where")
        self._evaluation = evaluation or {}
        self._taggers = {
            **dict.fromkeys(TAGGERS, ""),
            **{name: os.path.abspath(path) for name, path in settings.models.items()},
        }
        self._models = {name: fingerprint(path) for name, path in settings.models.items()}
        self._files = raw_files(settings, input_dir)

    def build(self) -> None:
        """Makes what is not there yet."""
        write_settings(self.store, self.settings)
        self._stage(
            "documents",
            lambda: self._each(functools.partial(stages.ingest, store=self.store), self._files),
        )
        found = self.parts()
        self._forget_others(found)
        tag = functools.partial(stages.tag, store=self.store, taggers=self._taggers)
        self._stage("attributes", lambda: self._each(tag, found))
        key = key_of(FORMAT, [file.key for file in self._files])
        for stage in dedup.STAGES:
            key = self._verdicts(stage, found, key)
        self._key = key = key_of(FORMAT, key, "finish", self.settings.seed, self._models)
        rules = {name: source.rules for name, source in self.settings.sources.items()}
        last = functools.partial(
            _finish,
            store=self.store,
            rules=rules,
            taggers=tuple(self._taggers),
            seed=self.settings.seed,
            key=key,
        )
        self._stage("finish", lambda: self._each(last, found))

    def mix(self, target_tokens: float = 0) -> dict[str, Share]:
        """Makes the mixture of a corpus that was built: JSON lines, and the rates of its sources.

        Args:
          target_tokens: see `hclx.corpus.mixing.solve`.
        """
        found, settings, store = self.parts(), self.settings, self.store
        self._forget_others(found, ("mixture",))
        measure = functools.partial(
            mixing.measure, store=store, sources=settings.sources, key=self._key
        )
        self._stage("mixture: what there is", lambda: self._each(measure, found))
        available = {name: [0, 0] for name in settings.sources}
        for part in found:
            about, total = (
                store.read_json(f"mixture/{part.name}.json"),
                available[part.name.split("/")[0]],
            )
            total[0] += about["documents"]
            total[1] += about["bytes"]
        shares = mixing.solve(available, settings.sources, settings.mix, target_tokens)
        kept = {name: share.kept for name, share in shares.items()}
        take = functools.partial(
            mixing.take,
            store=store,
            sources=settings.sources,
            kept=kept,
            seed=settings.seed,
            key=self._key,
        )
        self._stage("mixture", lambda: self._each(take, found))
        sources = {
            name: {**dataclasses.asdict(share), "kept": share.kept}
            for name, share in shares.items()
        }
        files = {
            name: [f"{part.name}.jsonl.gz" for part in found if part.name.split("/")[0] == name]
            for name in sources
        }
        store.write_json(
            mixing.MIXTURE, {"target_tokens": target_tokens, "sources": sources, "files": files}
        )
        return shares

    def parts(self) -> list[Part]:
        """The parts, in the order of sources and files.

        Raises:
          DataError: no document was found.
        """
        found = parts_of(
            self.store.read_json(f"documents/{file.name}.json") for file in self._files
        )
        if not found:
            raise DataError(
                "no document was found in any source; see quarantine/ for what could not be read"
            )
        return found

    def _each(self, function, items: Sequence) -> None:
        self._engine.each(function, _by_size(items))

    def _meet(self, rounds, write, found: list[Part]) -> None:
        self._engine.meet(rounds, write, _by_size(found))

    def _stage(self, name: str, run) -> None:
        begin = time.perf_counter()
        run()
        _LOG.info("%s: %.1f s", name, time.perf_counter() - begin)

    def _forget_others(self, found: Sequence[Part], folders: Sequence[str] = FOLDERS) -> None:
        """Removes what an earlier run made of files that are no longer part of this corpus, or did
        not finish.
        """
        names = {part.name for part in found} | {file.name for file in self._files}
        for folder in folders:
            for name in self.store.list(folder):
                unfinished = name.endswith(".tmp")  # a process was killed while it wrote
                if unfinished or (
                    name.count("/") > 1
                    and "/".join(name.split("/")[-2:]).split(".")[0] not in names
                ):
                    self.store.remove(name)

    def _verdicts(self, stage: str, found: list[Part], before: str) -> str:
        """Runs a stage, unless its verdicts are there, and gives its key."""
        settings, store, engine = self.settings, self.store, self._engine
        chosen = {
            "filter": (
                {name: list(source.rules.items()) for name, source in settings.sources.items()},
                self._models,
            ),
            "exact": True,
            "paragraph": settings.paragraph,
            "near": settings.near and (settings.near, settings.seed),
            "contamination": settings.contamination
            and (decontamination.VERSION, settings.contamination, self._evaluation),
        }[stage]
        if chosen is None:
            # a stage's own folder, where it has one
            for name in [*store.list(f"verdicts/{stage}"), *store.list(stage)]:
                store.remove(name)
            return before
        key = key_of(before, stage, chosen)
        made = [f"verdicts/{stage}/{part.name}.parquet" for part in found]
        made += [decontamination.REPORT] if stage == "contamination" else []
        if all(store.is_done(name, key) for name in made):
            return key
        self._stage(stage, lambda: getattr(self, f"_{stage}")(found, key))
        return key

    def _filter(self, found: list[Part], key: str) -> None:
        rules = {name: source.rules for name, source in self.settings.sources.items()}
        self._each(functools.partial(stages.judge, store=self.store, rules=rules, key=key), found)

    def _exact(self, found: list[Part], key: str) -> None:
        give = functools.partial(dedup.give_exact, store=self.store, n=_n_partitions(found))
        write = functools.partial(dedup.write_clusters, store=self.store, stage="exact", key=key)
        self._meet([(give, dedup.meet_exact)], write, found)

    def _paragraph(self, found: list[Part], key: str) -> None:
        cut = self.settings.paragraph
        give = functools.partial(
            dedup.give_paragraphs,
            store=self.store,
            n=_n_partitions(found),
            min_chars=cut.min_chars,
        )
        write = functools.partial(
            dedup.write_paragraphs, store=self.store, max_share=cut.max_share, key=key
        )
        self._meet([(give, dedup.meet_paragraphs)], write, found)

    def _near(self, found: list[Part], key: str) -> None:
        near, n = self.settings.near, _n_partitions(found)
        self._each(
            functools.partial(dedup.sign, store=self.store, settings=self.settings, key=key),
            found,
        )
        rounds = [
            (
                functools.partial(dedup.give_bands, store=self.store, n=n, near=near),
                dedup.meet_bands,
            ),
            (
                functools.partial(dedup.give_signatures, store=self.store, n=n, near=near),
                functools.partial(dedup.meet_signatures, near=near),
            ),
            (dedup.give_pairs, dedup.meet_pairs),
        ]
        write = functools.partial(dedup.write_clusters, store=self.store, stage="near", key=key)
        self._meet(rounds, write, found)

    def _contamination(self, found: list[Part], key: str) -> None:
        decontamination.write_index(self._evaluation, self.settings.contamination, self.store, key)
        judge = functools.partial(
            decontamination.judge, store=self.store, settings=self.settings.contamination, key=key
        )
        self._each(judge, found)
        decontamination.write_report(found, self.store, key)


def _by_size(items: Sequence) -> list:
    """The largest first: Beam's runner on one machine deals items out in turns, whatever their
    size.
    """
    return sorted(items, key=lambda item: -item.size)


def _finish(part: Part, store: Store, rules, taggers, seed: int, key: str) -> None:
    finish(part, store, rules[part.name.split("/")[0]], taggers, seed, key)


def _n_partitions(found: Sequence[Part]) -> int:
    """In how many places what meets is divided; the result does not depend on it."""
    return max(16, len(found))
