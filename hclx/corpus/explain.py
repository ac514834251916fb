"""Explains why a document was kept or removed.

It shows the attributes beside the rules, the verdict of every stage (the rule by which that step of
the pipeline removed the document, if one did), and the text before and after.
"""

import dataclasses
import functools
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hclx.corpus.filters import Rules, breaks, check_rules
from hclx.corpus.formatting import format_bounds, format_bytes
from hclx.corpus.layout import (
    ATTRIBUTES,
    CLEAN,
    CONTAMINATION_FOUND,
    DOCUMENTS,
    QUARANTINE,
    DocumentId,
    Shard,
    read_manifests,
    read_settings,
    read_shards,
)
from hclx.corpus.normalize import normalize_document
from hclx.corpus.readers import main_reasons
from hclx.corpus.settings import CorpusSettings, Rule
from hclx.corpus.store import Store
from hclx.corpus.taggers import TAGGERS, all_taggers
from hclx.corpus.text_batch import TextBatch
from hclx.corpus.verdicts import STAGES, read_remaining_texts, read_verdict, removals
from hclx.errors import ConfigError, DataError
from hclx.progress import counted
from hclx.text.pii import find_pii, mask_pii
from hclx.text.records import Document, Unreadable

_REASONS = 5  # reasons of removal that a summary names
_SHOWN = 200  # characters of a document or an item that this one is compared with
_LISTED = 10  # documents that are named if several begin with a prefix
Found = tuple[Shard, int]  # a document, by its shard and row
Columns = Mapping[str, Mapping[str, np.ndarray]]  # tagger -> column -> value, [1]


def explain(store: Store, doc_id: str) -> str:
    """Explains a document of a corpus: everything that is known of it.

    Args:
      store: the folder of the corpus.
      doc_id: SOURCE/ID, or its beginning if no other id begins with it. If several documents have
        the id, all are explained. SOURCE/FILE:LINE may also name a record that was set aside.
    Returns:
      Lines to print: what became of the document, its fields, the verdict of every stage that saw
      it, with what it was compared with; its attributes beside their rules, and its text as it was
      found and as it was kept.
    Raises:
      DataError: there is no such document, several begin with `doc_id`, or a file of the corpus,
        which must be built, cannot be read.
    """
    settings = read_settings(store)
    corpus = _Corpus(store, settings, read_shards(store, settings))
    exact, begin = _find(corpus, doc_id)
    if not exact and (aside := _set_aside(corpus, doc_id)):
        return "\n\n".join(aside)
    places = exact or _only(corpus, doc_id, begin)
    first = [f"{len(places):,} documents have this id"] if len(places) > 1 else []
    return "\n\n".join([*first, *(_document(corpus, shard, row) for shard, row in places)])


def explain_text(text: str, settings: CorpusSettings, source: str) -> str:
    """Explains how the rules of a source treat a text that is in no corpus.

    Args:
      text: the text, as it is read from a file; it has no title.
      settings: the settings that hold the rules and name the files of trained models.
      source: name of the source whose rules apply.
    Returns:
      Lines to print: whether the text is kept and the rules that remove it, the attributes beside
      their rules, and the text before and after cleaning. Duplicates and evaluation items are not
      looked for.
    Raises:
      ConfigError: there is no such source, or a rule names an attribute that does not exist.
      DataError: the file of a trained model cannot be read.
    """
    if source not in settings.sources:
        raise ConfigError(f"--source={source!r} is none of {', '.join(settings.sources)}")
    rules = settings.sources[source].rules
    check_rules(rules, settings.models, ["sources", source, "rules"])
    reading = settings.sources[source].reading
    normalised = normalize_document(Document(text), reading.html, reading.empty_brackets)
    normalised = "" if isinstance(normalised, Unreadable) else normalised.text
    columns = {
        name: tagger(TextBatch.of([normalised]))
        for name, tagger in all_taggers(settings.models).items()
    }
    violated = [name for name, rule in rules.items() if rule and breaks(rule, _column(columns))[0]]
    verdict = "kept"
    if violated:
        first = rules[violated[0]]
        verdict = _reason(violated[0], first, _column(columns)(first.attribute)[0])
    also = f"; {', '.join(violated[1:])} would too" if violated[1:] else ""
    spans = find_pii(normalised)
    return "\n".join(
        [
            "verdict",
            f"  {'filter':<14}{verdict}{also}",
            *_attributes(columns, rules),
            *_text("as it is", text),
            *_text(f"as it would be kept{_masks(spans)}", mask_pii(normalised, spans)),
        ]
    )


@dataclasses.dataclass(frozen=True)
class _Corpus:
    store: Store
    settings: CorpusSettings
    shards: Sequence[Shard]

    def doc_ids(self, shard: Shard) -> list[str]:
        """The ids of the documents of a shard."""
        return self.store.read_table(shard.file(DOCUMENTS), ["doc_id"])["doc_id"].to_pylist()

    def document(self, packed: int) -> tuple[str, str]:
        """The id and the text of a document by its packed shard and row."""
        place = DocumentId.unpack(packed)
        table = self.store.read_table(self.shards[place.shard].file(DOCUMENTS), ["doc_id", "text"])
        return tuple(table[name][place.row].as_py() for name in ("doc_id", "text"))


def _find(corpus: _Corpus, doc_id: str) -> tuple[list[Found], list[Found]]:
    """The documents that have an id, and those whose ids only begin with it."""
    composed = functools.partial(unicodedata.normalize, "NFC")  # names of macOS are not
    doc_id = composed(doc_id)
    source, sources = doc_id.split("/")[0], corpus.settings.sources
    if source not in sources:
        raise DataError(
            f"--doc_id={doc_id!r}: there is no source {source!r}; sources: {', '.join(sources)}"
        )
    exact, begin = [], []
    for shard in (shard for shard in corpus.shards if shard.source == source):
        for row, name in enumerate(map(composed, corpus.doc_ids(shard))):
            if name == doc_id:
                exact.append((shard, row))
            elif name.startswith(doc_id):
                begin.append((shard, row))
    return exact, begin


def _set_aside(corpus: _Corpus, doc_id: str) -> list[str]:
    """Explains the records that were set aside, of those that the quarantine lists, of a place
    SOURCE/FILE:LINE or of a whole file.
    """
    composed = functools.partial(unicodedata.normalize, "NFC")
    source, _, asked = composed(doc_id).partition("/")
    result, asked = [], f"/{asked}"
    for name, manifest in read_manifests(corpus.store, source):
        file = f"/{composed(manifest['file'])}"
        is_asked = file.endswith((asked, asked.rpartition(":")[0] or asked))
        if not manifest["quarantined"] or not is_asked:
            continue
        for line in corpus.store.read_lines(QUARANTINE.format(name=name)):
            record = json.loads(line)
            names = (file, f"{file}:{record['line']}")
            if len(result) < _LISTED and any(known.endswith(asked) for known in names):
                place = f"{source}{file}:{record['line']}"
                lines = [place, f"  {'verdict':<14}set aside, {record['reason']}"]
                lines += [f"  {'beginning':<14}{_beginning(record['beginning'])}"]
                result.append("\n".join(lines).rstrip())
    return result


def _only(corpus: _Corpus, doc_id: str, begin: list[Found]) -> list[Found]:
    """The document whose id begins so, where there is one."""
    if not begin:
        source = doc_id.split("/")[0]
        raise DataError(
            f"no document of {corpus.store.root} has the id {doc_id}, or one that begins with it;"
            f" quarantine/{source} lists records that were set aside"
        )
    if len(begin) > 1:
        names = [corpus.doc_ids(shard)[row] for shard, row in begin[:_LISTED]]
        more = ", ..." if len(begin) > _LISTED else ""
        raise DataError(
            f"{len(begin):,} documents begin with {doc_id}: {', '.join(names)}{more}; name one"
        )
    return begin


def _file_of(corpus: _Corpus, shard: Shard, row: int) -> str:
    """The raw file of a document, and its place among the documents of that file."""
    for _, manifest in read_manifests(corpus.store, shard.source):
        before = 0
        for part in manifest["parts"]:
            if part["name"] == shard.name:
                return f"{manifest['file']}, its document {before + row + 1:,}"
            before += part["documents"]
    return ""


def _document(corpus: _Corpus, shard: Shard, row: int) -> str:
    store, rules = corpus.store, corpus.settings.sources[shard.source].rules
    document = store.read_table(shard.file(DOCUMENTS)).slice(row, 1).to_pylist()[0]
    columns = {}
    for name in (*TAGGERS, *corpus.settings.models):
        table = store.read_table(shard.file(ATTRIBUTES, tagger=name)).slice(row, 1)
        columns[name] = {column: table[column].to_numpy() for column in table.column_names}
    removed = removals(shard, store)
    rule, stage = removed.rule[row], STAGES[removed.stage[row]]
    lines = [
        document["doc_id"],
        f"  {'verdict':<14}{f'removed by {rule}, stage {stage}' if rule else 'kept'}",
        f"  {'shard':<14}{shard.name}, row {row:,} of {len(removed.stage):,}, from 0",
        f"  {'file':<14}{_file_of(corpus, shard, row)}",
    ]
    lines += [
        f"  {name:<14}{value}"
        for name, value in document.items()
        if name not in ("doc_id", "text") and value
    ]
    lines += _title("verdicts")
    for index, stage in enumerate(STAGES):
        if (verdict := read_verdict(store, shard, stage)) is not None:
            columns_of_stage, text = verdict.slice(row, 1).to_pylist()[0], document["text"]
            if stage == "contamination":
                text = read_remaining_texts(shard, store, np.array([row]), before=stage)[0]
            first, *more = _verdict(corpus, stage, columns_of_stage, text, rules)
            lines += [f"  {stage:<14}{first}", *(f"  {line}" for line in more)]
        if index == removed.stage[row]:
            break  # later stages did not see the document
    lines += [*_attributes(columns, rules), *_text("as it was found", document["text"])]
    if removed.is_kept[row]:
        place = int(removed.is_kept[:row].sum())
        remaining = read_remaining_texts(shard, store, np.array([row]))[0]
        kept = store.read_table(shard.file(CLEAN), ["text"])["text"][place].as_py()
        lines += _text(f"as it was kept{_masks(find_pii(remaining))}", kept)
    return "\n".join(lines)


def _column(columns: Columns) -> Callable[[str], np.ndarray]:
    def column(attribute: str) -> np.ndarray:
        tagger, name = attribute.split(".")
        return columns[tagger][name]

    return column


def _attributes(columns: Columns, rules: Rules) -> list[str]:
    """A line an attribute, with the rules on it; a rule that is violated is marked."""
    lines = []
    for tagger, values in columns.items():
        lines += _title(tagger)
        for column, value in values.items():
            mark = lambda rule: "  <- broken" if breaks(rule, _column(columns))[0] else ""
            notes = [
                f"{name} {_bounds(rule)}{mark(rule)}"
                for name, rule in rules.items()
                if rule and rule.attribute == f"{tagger}.{column}"
            ]
            shown = _shown(value)
            lines.append(f"  {column:<20}{shown:>12}  {'; '.join(notes)}".rstrip())
    return lines


def _shown(value: np.ndarray) -> str:
    if value.dtype == object:
        return str(value[0])
    return f"{value[0]:.6g}" if value.dtype.kind == "f" else f"{int(value[0]):,}"


def _reason(name: str, rule: Rule, value: float) -> str:
    advice = f" ({rule.advice})" if rule.advice else ""
    bounds = _bounds(rule)
    return f"removed by {name}: {rule.attribute} is {value:.6g}, and must be {bounds}{advice}"


def _bounds(rule: Rule) -> str:
    return format_bounds(dataclasses.asdict(rule))


def _verdict(corpus: _Corpus, stage: str, columns: Mapping, text: str, rules: Rules) -> list[str]:
    """The verdict of a stage on a document in words, with what the stage saw.

    Args:
      columns: the document's row of the verdicts.
      text: as it reached the stage; before the stage `paragraph`, as it was found.
    """
    rule, value = columns["rule"], columns["value"]
    if stage == "filter":
        return [_reason(rule, rules[rule], value) if rule else "kept"]
    if stage in ("exact", "near"):
        same, size = "equal" if stage == "exact" else "nearly equal", columns["cluster_size"]
        if not rule:
            return [
                f"kept, {f'the first of {size:,} that are' if size > 1 else 'no other is'} {same}"
            ]
        stays, other = corpus.document(columns["cluster"])
        why = f"of {size:,} that are {same}"
        if (similarity := columns.get("similarity")) is not None:
            why = f"estimated similarity {similarity:.2f}"
        return [f"removed by {rule}: {stays} stays, {why}", f"    {stays}: {_beginning(other)}"]
    spans = list(zip(columns.get("starts", ()), columns.get("ends", ())))
    if stage == "paragraph":
        first = f"kept, {counted(len(spans), 'paragraph')} removed"
        if rule:
            first = f"removed by {rule}: {value:.1%} of its characters occurred before"
        return [first, *(f"    removed: {text[start:end]}" for start, end in spans)]
    items = corpus.store.read_json(CONTAMINATION_FOUND) or {}  # an earlier version wrote none
    return _contamination(columns, text, spans, items)


def _contamination(
    columns: Mapping, text: str, spans: Sequence[tuple[int, int]], items: Mapping
) -> list[str]:
    """The verdict of the stage `contamination` on a document in words; `items`: name -> texts."""
    causes = columns.get("causes", ())
    first = "kept"
    if columns["rule"]:
        first = (
            f"removed by {columns['rule']}: evaluation items are most of it, or too little is left"
        )
    elif spans:
        n_chars = sum(end - start for start, end in spans)
        first = f"kept, {counted(n_chars, 'character')} removed around copies of evaluation items"
    lines = [
        f"    characters {start:,} to {end:,}, for {', '.join(names)}: {text[start:end].strip()}"
        for (start, end), names in zip(spans, causes)
    ]
    removing = {name for names in causes for name in names}
    others = [name for name in columns["items"] if name not in removing]
    if others:
        kind = "items" if columns["rule"] else "stock phrases, which remove nothing by themselves"
        lines.append(f"    {kind}: {', '.join(others)}")
    told = [(name, items[name]) for name in columns["items"] if name in items]
    lines += [f"    {name}: {_beginning(' / '.join(texts))}" for name, texts in told]
    return [first, *lines]


def _beginning(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} ..."


def _title(name: str) -> list[str]:
    return ["", name]


def _text(name: str, text: str) -> list[str]:
    return [
        *_title(f"{name} ({counted(len(text), 'character')})"),
        *(f"  | {line}" for line in text.split("\n")),
    ]


def _masks(spans: Sequence) -> str:
    """The kinds and numbers of masks, for a heading."""
    counts = Counter(span.kind for span in spans)
    if not counts:
        return ""
    return f", masked: {', '.join(f'{kind} {n}' for kind, n in sorted(counts.items()))}"


def summary(name: str, source: Mapping) -> str:
    """Describes a source in a line: what was found and kept, and the main reasons of removal.

    Args:
      name: of the source.
      source: its entry in the corpus card, see `hclx.corpus.stats.add_up`.
    Returns:
      The line, without a line end.
    """
    reasons = {
        rule: removed["documents"]
        for rules in source["removed"].values()
        for rule, removed in rules.items()
    }
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS]
    why = f" ({main_reasons(source['aside'])})" if source.get("aside") else ""
    aside = f", {source['quarantined']:,} set aside{why}" if source["quarantined"] else ""
    why = f"; removed: {', '.join(f'{rule} {n:,}' for rule, n in most)}" if most else ""
    kept = source["kept"]
    return (
        f"{name}: {counted(source['documents'], 'document')}{aside},"
        f" {kept['documents']:,} kept, {format_bytes(kept['bytes'])}{why}"
    )
