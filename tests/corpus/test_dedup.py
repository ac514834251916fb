"""Duplicates: signatures against sets of shingles, what meets against brute force, pairs of known
similarity.
"""

import json
import random
import time
import unicodedata

import numpy as np
import pyarrow
import pytest

from hclx.corpus import dedup, duplicate_paragraphs, minhash, near_duplicates
from hclx.corpus.explain import explain
from hclx.corpus.layout import DOCUMENTS, VERDICTS, DocumentId, Shard
from hclx.corpus.pipeline import Corpus
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import NearSettings, parse_settings
from hclx.corpus.shuffle import group_by_shard, partition_by_hash
from hclx.corpus.stats import add_up
from hclx.corpus.store import Store
from hclx.corpus.text_batch import TextBatch
from hclx.corpus.verdicts import read_remaining_texts, read_verdict, remove_lines
from tests.helpers.generated_corpus import sentence

NEAR = NearSettings()


def shingles(text, n=NEAR.shingle):
    squeezed = "".join(text.split())
    return (
        {squeezed[i : i + n] for i in range(max(1, len(squeezed) - n + 1))} if squeezed else set()
    )


def jaccard(first_text, second_text):
    a, b = shingles(first_text), shingles(second_text)
    return len(a & b) / len(a | b)


def planted(similarity, rng, length=1200):
    """Two texts of about this similarity: their beginnings are the same, then each goes on by
    itself.
    """
    syllables = [chr(0xAC00 + rng.randrange(11_000)) for _ in range(3 * length)]
    spaced = lambda chars: "".join(c + (" " if rng.random() < 0.3 else "") for c in chars)
    # (length - own) / (length + own) of the shingles are shared
    own = round(length * (1 - similarity) / (1 + similarity))
    head = syllables[: length - own]
    return spaced(head + syllables[length : length + own]), spaced(
        head + syllables[2 * length : 2 * length + own]
    )


@pytest.fixture(scope="module")
def pairs():
    """1,000 pairs of similarity 0.5 to 1, and what it is."""
    rng = random.Random(0)
    text_pairs = [planted(0.5 + 0.5 * i / 999, rng) for i in range(1000)]
    return text_pairs, np.array([jaccard(*pair) for pair in text_pairs])


@pytest.fixture(scope="module")
def matched(pairs):
    """bool [1000]: which pairs end in one cluster, all texts in one corpus."""
    texts = [text for pair in pairs[0] for text in pair]
    stays = near_duplicates_of(texts)
    numbers = np.arange(len(texts))
    assert (stays // 2 == numbers // 2).all(), "texts of different pairs in one cluster"
    return stays[::2] == stays[1::2]


def near_duplicates_of(texts):
    """The index of the text that stays for each text, int64 [n]."""
    signature = minhash.signatures(
        TextBatch.of(texts), NEAR.shingle, NEAR.bands * NEAR.rows, seed=0
    )
    bands, stays = minhash.band_hashes(signature, NEAR.bands, NEAR.rows), np.arange(len(texts))
    shared = near_duplicates.reduce_bands([(bands.reshape(-1), np.repeat(stays, NEAR.bands))])
    links = near_duplicates.map_links(Shard("made/00000-00000", 0), [block for _, block in shared])
    signed = minhash.compact(signature)
    for _, (rows, group) in near_duplicates.reduce_links([block for _, block in links]):
        members = near_duplicates.reduce_members([(group, rows, signed[rows])], NEAR)
        for _, (removed, kept, *_) in members:
            stays[removed] = kept
    return stays


def test_the_planted_pairs_have_the_similarity_that_they_were_planted_with(pairs):
    assert np.abs(pairs[1] - (0.5 + 0.5 * np.arange(1000) / 999)).max() < 0.02


def test_similar_pairs_are_found_and_others_are_not(pairs, matched):
    similarity = pairs[1]
    curve = [
        matched[(similarity >= low) & (similarity < low + 0.05)].mean()
        for low in np.arange(0.5, 0.999, 0.05)
    ]
    assert matched[similarity >= 0.85].mean() >= 0.95, curve
    assert matched[similarity <= 0.5 + 0.01].mean() <= 0.01 and curve[0] <= 0.01, curve
    assert matched[similarity >= 0.999].all()


def test_pairs_of_a_corpus_are_found_across_its_files(pairs, matched, tmp_path):
    """The same pairs through the whole pipeline in two processes, each text somewhere in five files
    of many parts.
    """
    order = list(range(2 * len(pairs[0])))
    random.Random(3).shuffle(order)
    for file in range(5):
        rows = ({"id": str(n), "text": pairs[0][n // 2][n % 2]} for n in order[file::5])
        (tmp_path / f"{file}.jsonl").write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
    # none of them
    rules = dict.fromkeys(
        parse_settings({"sources": {"made": {"input": "*"}}}).sources["made"].rules
    )
    settings = parse_settings(
        {
            "sources": {"made": {"input": "*.jsonl"}},
            "rules": rules,
            "paragraph": None,
            "part_bytes": 250_000,
        }
    )
    corpus = Corpus(settings, str(tmp_path), str(tmp_path / "out"), make_runner(workers=2))
    corpus.build()

    place, removed, first = {}, {}, {}
    for shard in corpus.shards:
        ids = corpus.store.read_table(shard.file(DOCUMENTS), ["doc_id"])["doc_id"].to_pylist()
        tables = {
            stage: read_verdict(corpus.store, shard, stage, ["rule", "cluster"]).to_pylist()
            for stage in ("exact", "near")
        }
        for row, name in enumerate(ids):
            n = int(name.split("/")[1])
            place[n] = int(DocumentId(shard.index, row).pack())
            stage = "exact" if tables["exact"][row]["rule"] else "near"
            removed[n], first[n] = (
                tables[stage][row]["rule"] is not None,
                tables[stage][row]["cluster"],
            )
    assert sorted(place) == sorted(order) and len(corpus.shards) >= 20
    assert sum(place[n] >> 32 != place[n + 1] >> 32 for n in range(0, len(order), 2)) > 0.9 * len(
        pairs[0]
    )

    detected = np.array([removed[n] or removed[n + 1] for n in range(0, len(order), 2)])
    similarity = pairs[1]
    assert (
        detected[similarity >= 0.85].mean() >= 0.95 and detected[similarity <= 0.51].mean() <= 0.01
    )
    assert (detected == matched).all()
    for n in np.flatnonzero(detected) * 2:
        early, late = sorted((n, n + 1), key=place.get)
        assert not removed[early] and removed[late] and first[early] == first[late] == place[early]


def test_the_curve_is_the_one_that_bands_and_threshold_promise(pairs, matched):
    """At 0.72 half of the pairs pass the threshold, of those that share a band: 1 - (1 -
    s^rows)^bands.
    """
    near_threshold = np.abs(pairs[1] - NEAR.threshold) < 0.03
    share_a_band = 1 - (1 - NEAR.threshold**NEAR.rows) ** NEAR.bands
    assert abs(matched[near_threshold].mean() - 0.5 * share_a_band) < 0.25


def test_shingles_are_those_of_the_text_without_spaces(sample_texts):
    texts = [
        "",
        " ",
        "가",
        "가 나\n다",
        "가나다라마바사아자차",
        "가나다 라마바사아 자차카",
        *sample_texts[:20],
        "같은 말 " * 30,
    ]
    hashes, offsets = minhash.shingle_hashes(TextBatch.of(texts), NEAR.shingle)
    table = {}
    for text, start, end in zip(texts, offsets[:-1], offsets[1:]):
        squeezed = "".join(text.split())
        expected = (
            [squeezed[i : i + 10] for i in range(max(1, len(squeezed) - 9))] if squeezed else []
        )
        assert end - start == len(expected)
        for shingle, value in zip(expected, hashes[start:end]):
            assert table.setdefault(shingle, value) == value
    assert len(set(table.values())) == len(table)


def test_signatures_estimate_similarity_without_bias(sample_texts):
    rng, errors, compact_errors, expected = random.Random(1), [], [], []
    for text in sample_texts[:60]:
        changed = "".join(rng.choice("가나다라") if rng.random() < 0.02 else c for c in text)
        signature, changed_signature = minhash.signatures(
            TextBatch.of([text, changed]), NEAR.shingle, 112, seed=rng.randrange(1000)
        )
        true = jaccard(text, changed)
        errors.append((signature == changed_signature).mean() - true)
        small = minhash.compact(np.stack([signature, changed_signature]))
        compact_errors.append(minhash.similarity(small[0], small[1:])[0] - true)
        expected.append(true * (1 - true) / 112)
    error = 4 * np.sqrt(np.mean(expected) / len(errors))
    assert abs(np.mean(errors)) < error and abs(np.mean(compact_errors)) < error
    assert np.std(errors) < 1.5 * np.sqrt(np.mean(expected))


def test_least_values_are_those_of_each_hash_function():
    texts = [
        "가나다라마바사아자차카타파하 거너더러",
        "",
        "짧다",
        "이 글은 조금 더 길고 다른 말을 담고 있습니다",
    ]
    batch = TextBatch.of(texts)
    together = minhash.signatures(batch, 10, 16, seed=3)
    alone = np.concatenate(
        [minhash.signatures(TextBatch.of([text]), 10, 16, seed=3) for text in texts]
    )
    assert (together == alone).all() and (together[1] == np.iinfo(np.uint32).max).all()
    assert not (together == minhash.signatures(batch, 10, 16, seed=4)).all(1)[0]


def test_the_first_of_equal_keys_is_that_of_the_least_number():
    draw = np.random.default_rng(0)
    for _ in range(50):
        n = draw.integers(0, 40)
        keys, numbers = [draw.integers(0, 5, n), draw.integers(0, 3, n)], draw.permutation(100)[:n]
        first, size = dedup.first_of_each(keys, numbers)
        for i in range(n):
            same = [j for j in range(n) if all(key[j] == key[i] for key in keys)]
            assert size[i] == len(same) and numbers[first[i]] == min(numbers[same])


def test_groups_are_the_connected_parts():
    draw = np.random.default_rng(0)
    for _ in range(30):
        pairs = draw.integers(0, 60, (draw.integers(0, 40), 2)) + (1 << 32)
        numbers, least = near_duplicates.connected(pairs)
        groups = {n: {n} for n in pairs.ravel().tolist()}
        for a, b in pairs.tolist():
            merged = groups[a] | groups[b]
            groups.update(dict.fromkeys(merged, merged))
        assert numbers.tolist() == sorted(groups)
        assert least.tolist() == [min(groups[n]) for n in numbers]


def drifting(n, rng, kinds=6):
    """Signatures of n documents, each a changed copy of one of the documents before it."""
    signed = rng.integers(0, 256, (n, NEAR.bands * NEAR.rows)).astype(np.uint8)
    for i in range(kinds, n):
        copied = signed[rng.integers(max(0, i - 20), i)].copy()
        changed = rng.random(len(copied)) < rng.choice([0.02, 0.1, 0.2])
        copied[changed] = rng.integers(0, 256, int(changed.sum()))
        signed[i] = copied
    return signed


def test_documents_that_stay_are_those_of_a_plain_loop():
    draw = np.random.default_rng(0)
    for _ in range(10):
        signed = drifting(300, draw)
        stays, score = near_duplicates.references(signed, NEAR)
        kept: list[int] = []
        for i in range(len(signed)):
            found = minhash.similarity(signed[i], signed[kept]) if kept else np.zeros(0)
            near = np.flatnonzero(found >= NEAR.threshold)
            assert stays[i] == (kept[near[0]] if len(near) else i)
            assert score[i] == (found[near[0]] if len(near) else 1)
            kept += [] if len(near) else [i]
        assert 20 < len(kept) < 200


def test_in_a_large_group_documents_are_compared_with_those_of_their_buckets(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_ALL_PAIRS", 3)
    monkeypatch.setattr(near_duplicates, "_FEW", 10)
    signed = drifting(2_000, np.random.default_rng(1), kinds=200)
    stays, score = near_duplicates.references(signed, NEAR)
    removed = np.flatnonzero(stays != np.arange(len(signed)))
    assert (stays[stays] == stays).all() and (stays <= np.arange(len(signed))).all()
    for i in removed:
        assert score[i] == minhash.similarity(signed[i], signed[stays[i : i + 1]])[0]
        assert score[i] >= NEAR.threshold
    monkeypatch.undo()
    everything = near_duplicates.references(signed, NEAR)[0]
    assert (everything != np.arange(len(signed))).sum() * 0.8 < len(removed)


def test_a_bucket_of_very_many_documents_of_many_kinds_does_not_cost_their_square():
    """All share a band, and no two are similar."""
    signed = np.random.default_rng(2).integers(0, 256, (20_000, 112)).astype(np.uint8)
    signed[:, : NEAR.rows] = 7
    begin = time.perf_counter()
    stays, _ = near_duplicates.references(signed, NEAR)
    assert (stays == np.arange(len(signed))).all()
    assert time.perf_counter() - begin < 20  # of all pairs it would be minutes


def built(folder, texts, **settings):
    """A corpus of texts by name, in one process and without rules."""
    folder.mkdir(exist_ok=True)
    rows = [{"id": name, "text": text} for name, text in texts.items()]
    (folder / "a.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    settings = {"sources": {"made": {"input": "*.jsonl"}}, **settings}
    settings["rules"] = dict.fromkeys(parse_settings(settings).sources["made"].rules)
    corpus = Corpus(
        parse_settings(settings), str(folder), str(folder / "out"), make_runner(workers=1)
    )
    corpus.build()
    return corpus


def verdicts(corpus, stage):
    """Id -> its row of the verdicts, with the id of the document that stays as `stays`."""
    ids, rows = {}, {}
    for shard in corpus.shards:
        names = corpus.store.read_table(shard.file(DOCUMENTS), ["doc_id"])["doc_id"].to_pylist()
        for row, name in enumerate(names):
            ids[int(DocumentId(shard.index, row).pack())] = name.removeprefix("made/")
        table = read_verdict(corpus.store, shard, stage).to_pylist()
        rows |= {name.removeprefix("made/"): row for name, row in zip(names, table, strict=True)}
    return {name: {**row, "stays": ids.get(row.get("cluster"))} for name, row in rows.items()}


def test_what_is_removed_of_a_chain_is_like_what_stays(tmp_path):
    """50 windows over 590 sentences: each document shares 90 of its 100 with the next one."""
    rng = random.Random(11)
    syllables = lambda: "".join(chr(0xAC00 + rng.randrange(11_000)) for _ in range(25))
    sentences = [syllables() + "." for _ in range(590)]
    texts = {f"d{n:02}": " ".join(sentences[10 * n : 10 * n + 100]) for n in range(50)}
    assert 0.75 < jaccard(texts["d00"], texts["d01"]) < 0.85
    corpus = built(tmp_path / "in", texts, part_bytes=20_000)
    found = verdicts(corpus, "near")
    removed = {name: row for name, row in found.items() if row["rule"]}
    stay = [name for name in texts if name not in removed]
    assert 15 <= len(removed) <= 30 and len(corpus.shards) > 5
    for name, row in removed.items():
        assert row["stays"] in stay and row["stays"] < name
        assert row["value"] == row["similarity"] >= np.float32(NEAR.threshold)
        assert abs(jaccard(texts[name], texts[row["stays"]]) - row["value"]) < 0.2
    for name in stay:
        assert found[name]["cluster_size"] == 1 + sum(r["stays"] == name for r in removed.values())
        assert found[name]["similarity"] is None and found[name]["stays"] == name
    lost = [s for s in sentences if not any(s in texts[name] for name in stay)]
    # A sentence that only the last documents have goes with them.
    assert len(lost) <= 10 and set(lost) <= set(sentences[-20:])
    name, row = next(iter(removed.items()))
    shown = explain(corpus.store, f"made/{name}")
    assert f"made/{row['stays']} stays, estimated similarity {row['similarity']:.2f}" in shown
    shown = explain(corpus.store, f"made/{row['stays']}")
    assert (
        f"kept, the first of {found[row['stays']]['cluster_size']} that are nearly equal" in shown
    )
    card = add_up(corpus.store, corpus.settings, corpus.shards)
    assert card["all"]["removed"]["near"]["near_duplicate"]["documents"] == len(removed)
    sizes = card["all"]["clusters"]["near"]
    assert sum(int(size) * n for size, n in sizes.items()) == len(removed) + sum(sizes.values())


def test_exact_hashes_look_past_spaces_and_compatibility_forms():
    same = ["가 나다.", "가나 다.", " 가나다．\n", "\u1100\u1161나다."]
    assert len({dedup.exact_hash(text) for text in same}) == 1
    assert dedup.exact_hash("가나라.") != dedup.exact_hash(same[0])


def test_paragraphs_are_the_long_lines():
    texts = ["짧은 줄\n" + "가" * 30 + " \n\n  " + "나" * 40, "", "가" * 30]
    paragraphs = duplicate_paragraphs.long_paragraphs(TextBatch.of(texts), 30)
    cut = [
        texts[d][s:e]
        for d, s, e in zip(paragraphs["document"], paragraphs["start"], paragraphs["end"])
    ]
    assert (
        cut == ["가" * 30, "나" * 40, "가" * 30]
        and paragraphs["hash"][0] == paragraphs["hash"][2] != paragraphs["hash"][1]
    )


def test_the_frame_and_the_cells_of_a_table_are_no_paragraphs():
    texts = [
        "|" + " " * 40 + "| 2급 통신사 |",
        "+" + "-" * 60 + "+",
        "│" + " " * 60 + "│",
        "가 " * 25,
    ]
    found = duplicate_paragraphs.long_paragraphs(TextBatch.of(texts), 49)
    assert found["document"].tolist() == [3]


def test_a_paragraph_is_removed_with_its_indentation(tmp_path):
    rng = random.Random(14)
    line = lambda: " ".join(sentence(rng, 8) for _ in range(4))
    old, new = line(), line()
    texts = {"a": f"{line()}\n  {old}  \n", "b": f"{new}\n    {old} \n  {new[::-1]}\n{line()}"}
    corpus = built(tmp_path / "in", texts, near=None)
    spans = verdicts(corpus, "paragraph")["b"]
    left = remove_lines(texts["b"], spans["starts"], spans["ends"])
    assert left.split("\n")[:2] == [new, f"  {new[::-1]}"]


MARKS = [("1.", "2.", "3."), ("  1\\.", "  1의2\\.", "  2\\."), ("가.", "나.", "다.")]
MARKS += [
    ("①", "②", "③"),
    ("**①**", "**②**", "**③**"),
    ("(1)", "(2)", "(3)"),
    ("- 1)", "- 2)", "- 3)"),
]


@pytest.mark.parametrize("marks", MARKS, ids=" ".join)
def test_a_numbered_list_keeps_all_its_items_or_none(tmp_path, marks):
    rng = random.Random(1)
    line = lambda: sentence(rng, 30)
    items = [f"{mark} {line()}" for mark in marks]
    other, joined = f"{marks[1]} {line()}", lambda lines: "\n\n".join(lines)
    texts = {
        "a": joined([line(), *items, line()]),
        "one is new": joined([line(), items[0], other, items[2], line()]),
        "all": joined([line(), *items, line()]),
        "one is short": joined([line(), items[0], f"{marks[1]} 그 밖의 경우", line()]),
        "no number": joined([line(), items[0].split(maxsplit=2)[-1], line()]),
    }
    texts["b"] = joined([line(), texts["no number"].split("\n\n")[1], line()])
    found = verdicts(built(tmp_path / "in", texts, near=None), "paragraph")
    assert {name: len(own["starts"]) for name, own in found.items()} == {
        **{"a": 0, "all": 3, "b": 1, "no number": 0, "one is new": 0, "one is short": 0}
    }
    assert found["one is new"]["value"] == 0 < found["all"]["value"]


def test_a_copy_of_a_whole_page_is_removed_with_its_lists(tmp_path):
    """Although one item of each list is new."""
    rng = random.Random(2)
    items = [f"{number}. {sentence(rng, 30)}" for number in range(1, 10)]
    copy = [*items[:8], f"9. {sentence(rng, 12)}"]
    texts = {"a": "\n".join(items), "b": "\n".join(copy)}
    assert verdicts(built(tmp_path / "in", texts, near=None), "paragraph")["b"]["rule"]


@pytest.mark.parametrize(
    "line", ["2019. 3. 2.", "1,000원", "가을이 왔다.", "12월 3일", "나는 간다"]
)
def test_dates_prices_and_words_number_no_item(line):
    text = f"{line} 오늘은 비가 온다.\n{line} 내일은 눈이 온다."
    assert duplicate_paragraphs.items_of_broken_lists(text, {0}) == set()


def test_a_copy_is_found_in_any_form_of_its_characters(tmp_path):
    """In NFD as macOS writes it, with other spaces, and with characters that nobody sees."""
    rng = random.Random(12)
    line = lambda: " ".join(sentence(rng, 8) for _ in range(4))
    forms = {
        "nfd": lambda text: unicodedata.normalize("NFD", text),
        "spaces": lambda text: text.replace(" ", "  ").replace(". ", ".\u00a0"),
        "unseen": lambda text: text.replace(" ", " \u200b").replace(".", "\u00ad.\ufeff"),
        "lines": lambda text: text.replace("\n", "\r\n"),
    }
    texts = {}
    for name, form in forms.items():
        page, paragraph = "\n".join(line() for _ in range(6)), line()
        texts[f"{name}: page"] = page
        texts[f"{name}: copy"] = form(" ".join(page.split("\n"))) + "\n" + sentence(rng, 5)
        texts[f"{name}: first"] = f"{line()}\n{paragraph}"
        texts[f"{name}: second"] = form(f"{line()}\n{line()}\n{paragraph}\n{line()}")
    corpus = built(tmp_path / "in", texts)
    near, paragraphs = verdicts(corpus, "near"), verdicts(corpus, "paragraph")
    for name in forms:
        assert near[f"{name}: copy"]["stays"] == f"{name}: page", name
        assert len(paragraphs[f"{name}: second"]["starts"]) == 1, name
        assert not near[f"{name}: second"]["rule"] and not paragraphs[f"{name}: first"]["starts"]


def test_a_document_with_much_that_is_new_is_kept_whatever_else_it_repeats(tmp_path):
    rng = random.Random(13)
    lines = lambda n: [" ".join(sentence(rng, 8) for _ in range(4)) for _ in range(n)]
    old, new = lines(100), lines(12)
    texts = {
        "old": "\n".join(old),
        "much": "\n".join([*old[:60], *new[:10], *old[60:]]),  # 9% are new
        "little": "\n".join([*old[:30], *new[10:], *old[30:]]),
        "short": "\n".join([*old[:50], *(sentence(rng, 5) for _ in range(200))]),
    }
    assert len("".join(new[:10])) > 1_000 > len("".join(new[10:]))
    found = verdicts(
        built(tmp_path / "in", texts, near=None, paragraph={"max_share": 0.4}), "paragraph"
    )
    assert {name for name, row in found.items() if row["rule"]} == {"little", "short"}
    assert len(found["much"]["starts"]) == 100 and found["much"]["value"] > 0.9


def test_texts_of_some_rows_are_without_the_paragraphs_that_were_removed(tmp_path):
    store, shard = Store(str(tmp_path)), Shard("made/00000-00000", 0)
    store.write_table(
        shard.file(DOCUMENTS),
        pyarrow.table({"text": ["가\n나\n다\n라", "마\n바", "사\n아"]}),
        "key",
    )
    rows, off = np.array([2, 0, 1]), {"near": None, "contamination": None}
    store.write_json("settings.json", {"paragraph": None, **off})
    assert read_remaining_texts(shard, store, rows) == ["사\n아", "가\n나\n다\n라", "마\n바"]
    store.write_table(
        shard.file(VERDICTS, stage="paragraph"),
        pyarrow.table({"starts": [[0, 4], [], [2]], "ends": [[1, 5], [], [3]]}),
        "key",
    )
    store.write_json("settings.json", off)
    assert read_remaining_texts(shard, store, rows) == ["사", "나\n라", "마\n바"]


def test_a_paragraph_is_removed_with_its_line_end():
    text = "하나\n둘\n셋\n넷"
    assert (
        remove_lines(text, [3], [4]) == "하나\n셋\n넷"
        and remove_lines(text, [0, 7], [2, 8]) == "둘\n셋"
        and remove_lines(text, [], []) == text
    )


def test_partitions_and_shards_divide_without_loss():
    hashes = np.random.default_rng(0).integers(0, 1 << 63, 1000).astype(np.uint64) * np.uint64(2)
    divided = dict(partition_by_hash(hashes, 7))
    assert (
        sorted(np.concatenate(list(divided.values())).tolist()) == list(range(1000))
        and len(divided) == 7
    )
    ids = np.concatenate([DocumentId(shard, np.arange(5)).pack() for shard in (2, 0, 3)])
    assert {shard: rows.tolist() for shard, (rows, _) in group_by_shard(ids, ids)} == {
        shard: list(range(5)) for shard in (2, 0, 3)
    }
    assert list(group_by_shard(ids[:0], ids[:0])) == []


def test_packed_ids_sort_by_shard_and_row_and_unpack_to_what_they_were():
    draw = np.random.default_rng(0)
    ids = DocumentId(draw.integers(0, 1 << 30, 100), draw.integers(0, 1 << 32, 100))
    packed = ids.pack()
    assert packed.dtype == np.int64
    for expected, column in zip(ids, DocumentId.unpack(packed)):
        assert column.tolist() == expected.tolist()
    assert np.argsort(packed).tolist() == np.lexsort((ids.row, ids.shard)).tolist()
