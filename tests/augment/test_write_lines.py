"""Lines written into a folder: killed and gone on with, refused, bounded; what stands in them."""

import json
import re
from collections import Counter

import pytest

from hclx.augment.line_filters import Bounds
from hclx.augment.write_lines import BLOCK, MOST_IN_VAIN, write_lines
from hclx.data.source import ReadSettings, split_documents
from hclx.errors import ConfigError, DataError
from hclx.evaluate.samples import output_folder
from hclx.prompts import prompt_hash
from tests.helpers.few_shot import REVIEWS, byte_reader
from tests.helpers.labelled_texts import COMMANDS, SEEDS, augmentation
from tests.helpers.scripted_engine import ScriptedEngine

MODEL = {"name": "table", "step": 7, "fingerprint": "f" * 64}
FILES = ("augmented.jsonl", "rejected.jsonl", "card.json", "card.html")
WORDS = "배우 연기 음악 결말 장면 대사 화면 감독 극장 이야기 노래 의상 조명 편집 소리 색감".split()
ENDS = "좋았다 아쉬웠다 지루했다 빛났다 낯설었다 훌륭했다 평범했다 어설펐다".split()


def write(prompt, seed):
    """A line of any kind: new, a copy, or what no filter lets through."""
    text = f"{WORDS[seed % 16]}의 {WORDS[seed // 16 % 16]}보다 더 {ENDS[seed // 256 % 8]}"
    text = {
        0: REVIEWS[seed % 8][0] + "!",
        1: "연락은 010-1234-5678 로",
        2: "no Korean at all in this line of letters",
        3: "길다 " * 40,
    }.get(seed // 2048 % 12, text)
    label = "긍정" if seed % 3 else "부정"
    return f" {text} (감정: {label})" if seed // 2048 % 12 != 4 else f" {text}"


def run(folder, n=40, engine=None, max_attempts=None, sets=None, model=MODEL, **settings):
    engine = engine or ScriptedEngine(write)
    settings = augmentation(**settings)
    return write_lines(engine, byte_reader(), settings, model, folder, n, max_attempts, sets)


def content(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def lines(folder, name="augmented.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a command that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def test_lines_and_rejected_lines_are_all_attempts(whole):
    kept, rejected = lines(whole), lines(whole, "rejected.jsonl")
    numbers = sorted(line["provenance"]["number"] for line in [*kept, *rejected])
    assert len(kept) == 40 and numbers == list(range(len(numbers)))
    reasons = Counter(line["reason"] for line in rejected)
    assert set(reasons) == {
        *("could not be read", "duplicate", "another language", "personal data", "too long"),
        "near duplicate",
    }
    card = json.loads((whole / "card.json").read_text())
    assert card["kept"] == 40 and card["attempts"] == len(numbers)
    assert card["reasons"] == dict(reasons)
    assert sum(row["kept"] for row in card["labels"].values()) == 40


def test_a_line_has_its_filters_and_says_where_it_is_from(whole):
    known = {seed.id: seed for seed in SEEDS}
    for line in lines(whole):
        assert set(line) == {"id", "text", "label", "soft_label", "filters", "provenance"}
        assert sum(line["soft_label"].values()) == pytest.approx(1, abs=1e-5)
        assert line["filters"]["characters"] == len(line["text"])
        assert line["filters"]["language"] == "ko" and line["filters"]["pii"] == []
        assert line["filters"]["near"] < Bounds().near
        provenance = line["provenance"]
        assert provenance["prompt_hash"] == prompt_hash(augmentation().document)
        assert (provenance["model"], provenance["step"]) == ("table", 7)
        assert provenance["fingerprint"] == MODEL["fingerprint"] and provenance["seed"] == 0
        assert set(provenance["examples"]) <= set(known)


def test_no_line_is_a_seed_or_near_another(whole):
    grams = lambda text: {text[i : i + 3] for i in range(len(text) - 2)}
    texts = [*(seed.text for seed in SEEDS), *(line["text"] for line in lines(whole))]
    sets = [grams("".join(text.split())) for text in texts]
    for i in range(len(SEEDS), len(sets)):
        for j in range(i):
            assert len(sets[i] & sets[j]) / len(sets[i] | sets[j]) < Bounds().near
    near = [each for each in lines(whole, "rejected.jsonl") if each["reason"] == "near duplicate"]
    assert near and all(each["filters"]["near"] >= Bounds().near for each in near)


@pytest.mark.parametrize("damage", ["between blocks", "half a line", "part of a block"])
def test_a_command_that_was_killed_goes_on_to_the_same_lines(whole, tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, engine=ScriptedEngine(write, fails_after=BLOCK))
    assert not (tmp_path / "augmented.jsonl").exists()
    path = tmp_path / "samples" / "attempts.jsonl"
    data = path.read_bytes()
    assert data.count(b"\n") == BLOCK
    if damage == "half a line":
        path.write_bytes(data + data[:50])
    if damage == "part of a block":
        path.write_bytes(b"\n".join(data.split(b"\n")[:11]) + b"\n" + data[:20])
    engine = ScriptedEngine(write)
    run(tmp_path, engine=engine)
    assert content(tmp_path) == content(whole)
    again = ScriptedEngine(write)
    run(tmp_path, engine=again)
    assert content(tmp_path) == content(whole) and not again.prompts  # nothing is left to do


def test_more_lines_are_the_same_lines_and_others(whole, tmp_path):
    run(tmp_path, n=9)
    assert lines(tmp_path) == lines(whole)[:9]
    run(tmp_path, n=40)
    assert content(tmp_path) == content(whole)
    run(tmp_path, n=9)  # and fewer are a part of them
    assert lines(tmp_path) == lines(whole)[:9]


def test_a_folder_of_other_settings_is_refused_and_left_alone(tmp_path):
    run(tmp_path, n=5)
    before = content(tmp_path)
    for changes, message in (
        ({"seed": 1}, "another plan: seed: 0 -> 1"),
        ({"shots": 3}, "shots: 2 -> 3"),
        ({"bounds": Bounds(near=0.9)}, "bounds: near: 0.7 -> 0.9"),
        ({"seeds": SEEDS[:6]}, "seeds"),
        ({"template": "gpt3mix"}, "prompt"),
        ({"model": {**MODEL, "step": 8}}, "model: step: 7 -> 8"),
        ({"sets": {"a": ["배우의 결말보다 더 좋았다"]}}, "evaluation_sets"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(tmp_path, n=5, **changes)
    assert content(tmp_path) == before


def test_two_commands_cannot_write_to_one_folder(tmp_path):
    with output_folder(tmp_path, {}):
        with pytest.raises(ConfigError, match="another command is writing to"):
            run(tmp_path)


def test_a_model_that_never_writes_a_line_is_an_error_and_no_endless_loop(tmp_path):
    engine = ScriptedEngine(lambda prompt, seed: " 글만 쓴다")
    with pytest.raises(
        DataError, match=rf"the last {MOST_IN_VAIN} attempts brought no line"
    ) as info:
        run(tmp_path, n=10_000, engine=engine)
    assert f"could not be read: {MOST_IN_VAIN}; the model wrote ' 글만 쓴다'" in str(info.value)
    assert len(engine.prompts) == MOST_IN_VAIN
    assert lines(tmp_path) == [] and len(lines(tmp_path, "rejected.jsonl")) == MOST_IN_VAIN
    assert json.loads((tmp_path / "card.json").read_text())["kept"] == 0
    again = ScriptedEngine(lambda prompt, seed: " 글만 쓴다")
    with pytest.raises(DataError):
        run(tmp_path, n=10_000, engine=again)
    assert not again.prompts


def test_a_model_that_repeats_itself_comes_to_the_bound_of_attempts(tmp_path):
    same = lambda prompt, seed: " 볼만한 영화였다 (감정: 긍정)"
    with pytest.raises(DataError, match="1 line after 96 attempts; rejected were duplicate: 95"):
        run(tmp_path, n=2, engine=ScriptedEngine(same), max_attempts=70)
    assert [line["text"] for line in lines(tmp_path)] == ["볼만한 영화였다"]


def test_texts_of_evaluation_sets_are_left_out(whole, tmp_path):
    held = [line["text"] for line in lines(whole)[:6]]
    run(tmp_path, sets={"test.csv": held})
    assert not {line["text"] for line in lines(tmp_path)} & set(held)
    reasons = [line for line in lines(tmp_path, "rejected.jsonl") if "evaluation" in line["reason"]]
    assert {line["filters"]["overlap"] for line in reasons} >= {f"test.csv#{n}" for n in range(6)}


def test_the_embeddings_of_the_seeds_are_computed_once(tmp_path):
    run(tmp_path, n=3, selection="far")
    engine = ScriptedEngine(write)
    engine.embed = None
    run(tmp_path, n=30, selection="far", engine=engine)
    assert len(lines(tmp_path)) == 30


def test_what_a_model_writes_is_shown_as_text(tmp_path):
    bad = lambda prompt, seed: (
        f" <script>alert({seed})</script> 영화 {WORDS[seed % 16]} (감정: 긍정)"
        if seed % 2
        else f" \ud83d\u0007 {seed} (감정: 부정)"
    )
    run(tmp_path, n=6, engine=ScriptedEngine(bad), bounds=Bounds(near=1.0))
    page = (tmp_path / "card.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"(?:src|href)=|url\(|https?:", page)
    reasons = {line["reason"] for line in lines(tmp_path, "rejected.jsonl")}
    assert "characters that cannot be seen" in reasons


def test_slots_stand_in_the_lines(tmp_path):
    value = lambda prompt, seed: f" [{WORDS[seed % 16]}](날짜) {ENDS[seed // 16 % 8]} {seed}\n"
    labels = {"날씨": "날씨", "알람": "알람"}
    settings = {"template": "slots", "labels": labels, "seeds": COMMANDS}
    run(tmp_path, n=10, engine=ScriptedEngine(value), **settings)
    for line in lines(tmp_path):
        (slot,) = line["slots"]
        assert f"[{line['text'][slot['start'] : slot['end']]}](날짜)" in line["marked"]
    assert Counter(line["label"] for line in lines(tmp_path)).keys() == labels.keys()


def test_training_reads_the_lines_as_documents(whole):
    paths = lambda: [str(whole / "augmented.jsonl")]
    splits = [split_documents(paths, split, ReadSettings()) for split in ("train", "validation")]
    texts = {document.text for documents in splits for document in documents}
    assert texts == {line["text"] for line in lines(whole)}
