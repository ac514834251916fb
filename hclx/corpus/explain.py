"""Why a document was kept or removed: its attributes beside the rules, the verdict of every stage,
the text before and after.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from hclx.corpus import dedup
from hclx.corpus.dedup import STAGES
from hclx.corpus.formatting import format_bounds as bounds
from hclx.corpus.formatting import format_number as number
from hclx.corpus.manifest import read_parts, read_settings
from hclx.corpus.pii import find_pii, mask_pii
from hclx.corpus.settings import CorpusSettings, Rule
from hclx.corpus.stages import Part, broken, check_rules
from hclx.corpus.store import Store
from hclx.corpus.taggers import TAGGERS, all_taggers
from hclx.corpus.text_batch import TextBatch
from hclx.corpus.write_clean import mended, verdicts
from hclx.errors import ConfigError, DataError

_LISTED = 10  # documents of which a prefix may be
Columns = Mapping[str, Mapping[str, np.ndarray]]  # tagger -> column -> value, [1]


def explain(store: Store, doc_id: str) -> str:
    """All that is known of a document of a corpus.

    Args:
      store: of the corpus.
      doc_id: SOURCE/ID, or its beginning where no other begins so.
    Raises:
      DataError: there is no such document, or there are several.
    """
    settings = read_settings(store)
    parts = read_parts(store, settings)
    places = _find(store, settings, parts, doc_id)
    return "\n\n".join(_document(store, settings, parts, part, row) for part, row in places)


def explain_text(text: str, settings: CorpusSettings, source: str) -> str:
    """What the rules of a source make of a text that is in no corpus.

    Raises:
      ConfigError: there is no such source, or a rule is of no attribute.
    """
    if source not in settings.sources:
        raise ConfigError(f"--source={source!r} is none of {', '.join(settings.sources)}")
    rules = settings.sources[source].rules
    check_rules(rules, settings.models, f"sources.{source}")
    columns = {
        name: tagger(TextBatch.of([text])) for name, tagger in all_taggers(settings.models).items()
    }
    broke = [
        name for name, rule in rules.items() if rule and broken(rule, _value(columns, rule))[0]
    ]
    first = (
        _reason(broke[0], rules[broke[0]], _value(columns, rules[broke[0]])[0]) if broke else "kept"
    )
    also = f"; {', '.join(broke[1:])} would too" if broke[1:] else ""
    after = mended(text, int(columns["normalisation"]["mojibake"][0]))
    spans = find_pii(after)
    return "\n".join(
        [
            *_attributes(columns, rules),
            *_title("verdict"),
            f"  {'filter':<14}{first}{also}",
            *_text("as it is", text),
        ]
        + _text(f"as it would be kept{_masks(after, spans)}", mask_pii(after, spans))
    )


def _find(
    store: Store, settings: CorpusSettings, parts: Sequence[Part], doc_id: str
) -> list[tuple[Part, int]]:
    """The places of a document; several where several have its id."""
    source = doc_id.split("/")[0]
    if source not in settings.sources:
        raise DataError(
            f"--doc_id={doc_id!r}: there is no source {source!r}; sources:"
            f" {', '.join(settings.sources)}"
        )
    exact, begin, names = [], [], []
    for part in parts:
        if part.name.split("/")[0] == source:
            for row, name in enumerate(
                store.read_table(f"documents/{part.name}.parquet", ["doc_id"])["doc_id"].to_pylist()
            ):
                if name == doc_id:
                    exact.append((part, row))
                elif name.startswith(doc_id):
                    begin.append((part, row))
                    names += [name] if len(names) < _LISTED else []
    if not exact and not begin:
        raise DataError(f"no document of {store.root} is called {doc_id}, or begins so")
    if not exact and len(begin) > 1:
        more = ", ..." if len(begin) > _LISTED else ""
        raise DataError(
            f"{len(begin):,} documents begin with {doc_id}: {', '.join(names)}{more}; name one"
        )
    return exact or begin


def _document(
    store: Store, settings: CorpusSettings, parts: Sequence[Part], part: Part, row: int
) -> str:
    rules = settings.sources[part.name.split("/")[0]].rules
    document = store.read_table(f"documents/{part.name}.parquet").slice(row, 1).to_pylist()[0]
    about = [
        f"  {name:<14}{value}"
        for name, value in document.items()
        if name not in ("doc_id", "text") and value
    ]
    columns = {
        name: _row(store, f"attributes/{name}/{part.name}.parquet", row)
        for name in (*TAGGERS, *settings.models)
    }
    found = verdicts(part, store)
    lines = [
        document["doc_id"],
        f"  {'part':<14}{part.name}, row {row:,} of {len(found):,}, from 0",
        *about,
    ]
    lines += [*_attributes(columns, rules), *_title("verdicts")]
    for stage in STAGES:
        if store.key(f"verdicts/{stage}/{part.name}.parquet") is not None:
            lines += [
                f"  {stage:<14}{line}" if i == 0 else f"  {line}"
                for i, line in enumerate(_verdict(store, parts, part, row, stage, rules))
            ]
            if found[row].stage == stage:
                break  # the stages after it did not see the document
    lines += _text("as it was found", document["text"])
    if found[row].rule is None:
        place = sum(one.rule is None for one in found[:row])
        before = mended(
            dedup.remaining_texts(part, store, np.array([row]))[0],
            int(columns["normalisation"]["mojibake"][0]),
        )
        kept = store.read_table(f"corpus/{part.name}.parquet", ["text"])["text"][place].as_py()
        lines += _text(f"as it was kept{_masks(before, find_pii(before))}", kept)
    return "\n".join(lines)


def _row(store: Store, name: str, row: int) -> dict[str, np.ndarray]:
    table = store.read_table(name).slice(row, 1)
    return {column: table[column].to_numpy() for column in table.column_names}


def _value(columns: Columns, rule: Rule) -> np.ndarray:
    tagger, column = rule.attribute.split(".")
    return columns[tagger][column]


def _attributes(columns: Columns, rules: Mapping[str, Rule | None]) -> list[str]:
    """A line an attribute, with the rules on it; one that is broken is marked."""
    lines = []
    for tagger, found in columns.items():
        lines += _title(tagger)
        for column, value in found.items():
            shown = (
                str(value[0])
                if value.dtype == object
                else f"{value[0]:.6g}"
                if value.dtype.kind == "f"
                else f"{int(value[0]):,}"
            )
            own = [
                (name, rule)
                for name, rule in rules.items()
                if rule and rule.attribute == f"{tagger}.{column}"
            ]
            notes = [
                f"{name} {bounds(vars(rule))}{'  <- broken' if broken(rule, value)[0] else ''}"
                for name, rule in own
            ]
            lines.append(f"  {column:<20}{shown:>12}  {'; '.join(notes)}".rstrip())
    return lines


def _reason(name: str, rule: Rule, value: float) -> str:
    return f"removed by {name}: {rule.attribute} is {value:.6g}, and must be {bounds(vars(rule))}"


def _verdict(
    store: Store,
    parts: Sequence[Part],
    part: Part,
    row: int,
    stage: str,
    rules: Mapping[str, Rule | None],
) -> list[str]:
    """What a stage says of a document, with what it saw."""
    verdict = store.read_table(f"verdicts/{stage}/{part.name}.parquet").slice(row, 1).to_pylist()[0]
    rule, value = verdict.pop("rule"), verdict.pop("value")
    if stage == "filter":
        return [_reason(rule, rules[rule], value) if rule else "kept"]
    if "cluster" in verdict:
        same = "equal" if stage == "exact" else "nearly equal"
        if rule:
            return [
                f"removed by {rule}: {_name(store, parts, verdict['cluster'])} stays, of"
                f" {verdict['cluster_size']:,} that are {same}"
            ]
        return [
            (
                f"kept, the first of {verdict['cluster_size']:,} that are {same}"
                if verdict["cluster_size"] > 1
                else f"kept, no other is {same}"
            )
        ]
    if "starts" in verdict:
        text = store.read_table(f"documents/{part.name}.parquet", ["text"])["text"][row].as_py()
        cuts = [f"    cut: {text[a:b]}" for a, b in zip(verdict["starts"], verdict["ends"])]
        return [
            (
                f"removed by {rule}: {value:.1%} of it stood before"
                if rule
                else f"kept, {len(cuts)} paragraphs cut"
            ),
            *cuts,
        ]
    more = [
        f"    {name}: {', '.join(map(str, one)) if isinstance(one, list) else one}"
        for name, one in verdict.items()
        if one not in (None, [], "")
    ]
    return [f"removed by {rule}: {number(value)}" if rule else "kept", *more]


def _name(store: Store, parts: Sequence[Part], place: int) -> str:
    """The id of a document by its number."""
    part = parts[place >> 32]
    return store.read_table(f"documents/{part.name}.parquet", ["doc_id"])["doc_id"][
        place & 0xFFFFFFFF
    ].as_py()


def _title(name: str) -> list[str]:
    return ["", name]


def _text(name: str, text: str) -> list[str]:
    return [
        *_title(f"{name} ({len(text):,} characters)"),
        *(f"  | {line}" for line in text.split("\n")),
    ]


def _masks(text: str, spans: Sequence) -> str:
    """What is masked of a text, for a heading."""
    counts = Counter(span.kind for span in spans)
    return (
        f", masked: {', '.join(f'{kind} {n}' for kind, n in sorted(counts.items()))}"
        if counts
        else ""
    )
