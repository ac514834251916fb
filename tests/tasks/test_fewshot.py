"""The tasks of few-shot evaluation: their items, prompts and suites."""

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from hclx.errors import ConfigError, DataError
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.structured_answers import entities, entity_spans, state, tree
from hclx.prompts import answer_texts, lint, render
from hclx.tasks.fewshot import TASKS, TaskSpec, task, task_prompt, templates
from hclx.tasks.suite_runs import SUITES, read_suite

# Where a prompt of others has a trap on purpose, because figures are compared with theirs.
EXPECTED_FINDINGS = {("kobest_boolq", "lm_eval"): ["space-before-answer"]}
# Split -> number of items, of the real files: as many as lines that hold an item.
REAL = {
    "nsmc": {"train": 150_000, "dev": 10_000},
    "ko_en": {"dev": 1000},
    "en_ko": {"dev": 1000},
    "klue_nli": {"dev": 3000},
    "klue_sts": {"dev": 519},
    "klue_ner": {"dev": 5000},
    "klue_dp": {"dev": 2000},
    "kobest_boolq": {"train": 3665, "dev": 700},
    "kobest_copa": {"train": 3076, "dev": 500},
    "kobest_hellaswag": {"train": 2029, "dev": 500},
    "kobest_sentineg": {"train": 3649, "dev": 400},
    "kobest_wic": {"train": 3318, "dev": 610},
    "kornli": {"dev": 2490},
    "korsts": {"train": 5749, "dev": 1500},
    "hate_speech": {"train": 7896, "dev": 471},
    "hate_speech_bias": {"train": 7896, "dev": 471},
    "kobbq": {"test": 3 * 2280},
    "kosbi": {"dev": 3421},
    "square": {"dev": 6882},
}
ALL_PROMPTS = [(name, template) for name in TASKS for template in templates(name)]


def items_of(name, data_dir, split=None):
    return task(name).items(str(data_dir), split or list(REAL[name])[-1])


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(name, data_dir):
    spec = task(name)
    prompts = [task_prompt(name, template) for template in templates(name)]
    for split, count in REAL[name].items():
        items = spec.items(str(data_dir), split)
        assert len(items) == count == len({item.id for item in items})
        for prompt in prompts:
            for item in items[:: max(1, count // 50)]:
                render(prompt, item.fields, [{**item.fields, prompt.answer_field: item.answer}])
                if prompt.choices:
                    assert item.answer in answer_texts(prompt, item.fields)
        if all(prompt.choices for prompt in prompts):
            keys = {key for prompt in prompts for key in prompt.choices}
            assert {item.answer for item in items} == keys


def test_published_files_are_read_as_the_csv_module_reads_them(data_dir):
    folder = data_dir / "tasks" / "nsmc"
    with gzip.open(folder / "ratings_test.tsv.gz", "rt", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    items = items_of("nsmc", data_dir)
    assert [(item.id, item.fields["document"], item.answer) for item in items] == [
        (row["id"], row["document"], row["label"]) for row in rows
    ]
    with open(data_dir / "tasks/kobbq/KoBBQ_test_samples.tsv", encoding="utf-8") as file:
        samples = {row["sample_id"]: row for row in csv.DictReader(file, delimiter="\t")}
    for item in items_of("kobbq", data_dir):
        sample = samples[item.id.rpartition("-")[0]]
        assert item.fields[item.answer.lower()] == sample["answer"]
        # The publisher tells biased contexts by the last letter of the identity.
        is_biased = sample["sample_id"].split("-")[1][-1] in "bd"
        if not item.gold["ambiguous"]:
            assert (item.answer == item.gold["biased"]) == is_biased


def test_real_structures_are_read_from_their_answers(data_dir):
    elsewhere = 0  # words that occur before the entity, too, and are no entity there
    for item in items_of("klue_ner", data_dir):
        characters, gold = item.gold["characters"], item.gold["entities"]
        words = [(characters[start:end].strip(), kind) for start, end, kind in gold]
        assert entities(item.answer) == words, item.id
        elsewhere += [list(span) for span in entity_spans(item.answer, characters)] != gold
    assert elsewhere <= 15  # of 5,000
    for item in items_of("klue_dp", data_dir):
        arcs = zip(item.gold["heads"], item.gold["deprels"], strict=True)
        assert tree(item.answer) == dict(enumerate(arcs, start=1)), item.id


@pytest.mark.parametrize("name", REAL)
def test_the_right_answers_have_the_best_score(name, data_dir):
    items = items_of(name, data_dir)[:300]
    keys = {key for template in templates(name) for key in task_prompt(name, template).choices}
    predictions = [
        Prediction(item.answer, {key: float(key == item.answer) for key in keys}) for item in items
    ]
    best = 100 if task(name).main.startswith("bleu") else 1
    least = {"korsts": 0.8}.get(name, 0.999)  # similarities are no probabilities
    score = METRICS[task(name).main].function(items, predictions)
    assert least * best <= score <= best * 1.0001


def test_similar_sentences_are_those_from_three_on(data_dir):
    for name in ("klue_sts", "korsts"):
        for item in items_of(name, data_dir):
            assert item.answer == str(int(item.gold["similarity"] >= 3))


def test_states_of_the_real_ontology_are_read_from_their_answers(data_dir):
    from hclx.evaluate.structured_answers import state_text

    path = data_dir / "tasks" / "klue" / "wos-v1.1" / "ontology.json"
    ontology = json.loads(path.read_text(encoding="utf-8"))
    for number in range(max(map(len, ontology.values()))):
        slots = {slot: values[number % len(values)] for slot, values in ontology.items()}
        assert state(state_text(slots)) == slots


def test_the_table_agrees_with_itself():
    for name, spec in TASKS.items():
        assert spec.name == name and spec.main == spec.metrics[0]
        assert set(spec.metrics) <= set(METRICS)
        assert {spec.test_split, spec.shots_split} <= set(spec.splits)
        assert {"hclx", spec.template} <= set(templates(name))
        assert spec.chance is None or 0 < spec.chance < 1
        assert spec.draw in ("trial", "own")


@pytest.mark.parametrize("name, template", ALL_PROMPTS, ids="/".join)
def test_prompts_have_no_traps_but_those_of_others(name, template):
    prompt = task_prompt(name, template)
    assert prompt.name == f"{name}/{template}" and prompt.description
    assert bool(prompt.source) == (template != "hclx")
    codes = [finding.code for finding in lint(prompt)]
    assert codes == EXPECTED_FINDINGS.get((name, template), [])


# Items, and what lm-evaluation-harness 0.4.13 asks and expects (its templates, filled by hand).
HARNESS = {
    "kobest_boolq": (
        {"paragraph": "해가 떴다.", "question": "밤인가?"}, "1",
        "해가 떴다. 질문: 밤인가? 답변: ", {"0": " 아니오", "1": " 예"},
    ),
    "kobest_copa": (
        {"premise": "비가 왔다.", "connective": "그래서", "alternative_1": "젖었다.",
         "alternative_2": "말랐다."}, "0",
        "비가 왔다.  그래서", {"0": " 젖었다.", "1": " 말랐다."},
    ),
    "kobest_hellaswag": (
        {"context": "문을 연다.", **{f"ending_{n}": f"끝 {n}." for n in range(1, 5)}}, "2",
        "문장: 문을 연다.", {str(n): f" 끝 {n + 1}." for n in range(4)},
    ),
    "kobest_sentineg": (
        {"sentence": "나쁘지 않다"}, "1",
        "문장: 나쁘지 않다 긍부정:", {"0": " 부정", "1": " 긍정"},
    ),
    "kobest_wic": (
        {"word": "말", "context_1": "[말]을 탔다.", "context_2": "[말]을 했다."}, "0",
        "문장1: [말]을 탔다. 문장2: [말]을 했다. 두 문장에서 말가 같은 뜻으로 쓰였나?",
        {"0": " 아니오", "1": " 예"},
    ),
    "kmmlu": (
        {"question": "가장 큰 것은?", "A": "1", "B": "2", "C": "3", "D": "4"}, "D",
        "가장 큰 것은?\nA. 1\nB. 2\nC. 3\nD. 4\n정답：", {key: f" {key}" for key in "ABCD"},
    ),
    "haerae": (
        {"query": "고르시오. (A) 가 (B) 나"}, "(B)",
        "고르시오. (A) 가 (B) 나", {f"({key})": f" ({key})" for key in "ABCDE"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARNESS)
def test_prompts_of_the_harness_are_its_own_to_the_space(name):
    fields, answer, text, answers = HARNESS[name]
    prompt = task_prompt(name, "lm_eval")
    assert render(prompt, fields, ()).text == text
    assert answer_texts(prompt, fields) == answers
    example = {**fields, prompt.answer_field: answer}
    assert render(prompt, fields, [example]).text == f"{text}{answers[answer]}\n\n{text}"


@pytest.mark.parametrize("paragraph", ["", "글 한 편."])
def test_the_harness_asks_of_click_with_a_paragraph_and_without(paragraph, tmp_path):
    record = {
        "id": "KIIP_1",
        "paragraph": paragraph,
        "question": "무엇인가?",
        "choices": ["갑", "을", "병", "정"],
        "answer": "병",
    }
    folder = tmp_path / "tasks" / "click" / "Culture"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps([record]), encoding="utf-8")
    (item,) = task("click").items(str(tmp_path), "train")
    start = "주어진 맥락을 천천히 읽고, 질문에 대한" if paragraph else "주어진 질문을 천천히 읽고,"
    passage = f"맥락: {paragraph}\n" if paragraph else ""
    assert render(task_prompt("click", "lm_eval"), item.fields, ()).text == (
        f"{start} 적절한 정답을 A, B, C, D 중에 골라 알파벳 하나로 답하시오.\n\n"
        f"{passage}질문: 무엇인가?\n보기:\nA:갑, B: 을, C: 병, D: 정\n정답:"
    )


def test_the_prompt_of_hyperclova_is_a_line_an_example():
    prompt = task_prompt("nsmc", "hyperclova")
    examples = [{"document": "좋다", "label": "1"}, {"document": "싫다", "label": "0"}]
    text = render(prompt, {"document": "글쎄"}, examples).text
    assert text == "좋다 (긍정)\n싫다 (부정)\n글쎄 ("


def test_a_paragraph_stands_once_above_the_questions_of_korquad():
    fields = {"title": "봄", "context": "꽃이 핀다.", "question": "무엇이 피나?"}
    prompt = task_prompt("korquad", "hyperclova")
    text = render(
        prompt, fields, [{**fields, "question": "무엇이 어떻게 되나?", "answer": "꽃"}]
    ).text
    assert text == (
        "제목: 봄\n\n배경: 꽃이 핀다.\n\n질문: 무엇이 어떻게 되나?\n\n답: 꽃\n\n"
        "질문: 무엇이 피나?\n\n답:"
    )


@pytest.mark.parametrize("template", ["hclx", "polyglot"])
@pytest.mark.parametrize(
    "text, answer",
    [
        (" 오일장\n질문:", "오일장"),
        (" 대답 불가\n", ""),
        ("\n대답 불가", ""),
        (" 대답할 사람", "대답할 사람"),
    ],
)
def test_an_answer_that_says_that_there_is_none_is_empty(template, text, answer):
    from hclx.evaluate.answers import parse_answer

    assert parse_answer(task_prompt("klue_mrc", template).parser, text) == answer


def test_suites_name_tasks_templates_and_numbers():
    names = {Path(file.name).stem for file in SUITES.iterdir()}
    assert names == {"hyperclova", "klue", "kobest", "safety"}
    for name in names:
        entries = read_suite(name)
        runs = Counter((entry["task"], entry["template"]) for entry in entries)
        assert set(runs.values()) == {1}
        for entry in entries:
            assert set(entry) == {"task", "template", "shots", "trials"}
            assert entry["template"] in templates(entry["task"])
            assert entry["shots"] >= 0 and entry["trials"] >= 1
    assert {entry["task"] for entry in read_suite("klue")} == {
        name for name in TASKS if name.startswith("klue_")
    }


def items_reader(path):
    return [Item(line, {}, "") for line in Path(path).read_text().split()]


@pytest.fixture
def letters(tmp_path):
    folder = tmp_path / "[자료]" / "tasks" / "letters"
    folder.mkdir(parents=True)
    (folder / "b.dev.txt").write_text("x y")
    (folder / "a.dev.txt").write_text("x z x")
    splits = {"dev": "letters/*.dev.txt", "test": "letters/*.test.txt"}
    return TaskSpec("letters", splits, items_reader, ("accuracy",)), tmp_path / "[자료]"


def test_items_are_in_the_order_of_files_with_ids_of_their_own(letters):
    spec, folder = letters
    ids = [item.id for item in spec.items(str(folder), "dev")]
    assert ids == ["x", "z", "x#2", "x#3", "y"]


def test_a_gzipped_file_is_read_unless_the_plain_one_is_there(letters):
    spec, folder = letters
    plain = [str(folder / "tasks/letters" / name) for name in ("a.dev.txt", "b.dev.txt")]
    for name in ("a.dev.txt.gz", "c.dev.txt.gz"):
        (folder / "tasks" / "letters" / name).write_bytes(gzip.compress(b"w"))
    assert spec.files(str(folder), "dev") == [*plain, str(folder / "tasks/letters/c.dev.txt.gz")]


def test_what_is_not_there_is_named_with_what_is(letters):
    spec, folder = letters
    with pytest.raises(DataError, match=r"\*\.test\.txt does not exist.* files are there: dev"):
        spec.items(str(folder), "test")
    with pytest.raises(ConfigError, match="letters has no split 'train' but dev, test"):
        spec.items(str(folder), "train")
    for path in (folder / "tasks" / "letters").iterdir():
        path.write_text("")
    with pytest.raises(DataError, match="has no items of letters"):
        spec.items(str(folder), "dev")
    with pytest.raises(ConfigError, match="no task 'nsmk'; known are nsmc, korquad"):
        task("nsmk")
    with pytest.raises(ConfigError, match="nsmc has no template 'lm_eval' but hclx, hyperclova"):
        task_prompt("nsmc", "lm_eval")


def test_every_set_that_is_not_there_is_found_under_the_names_of_its_publisher(tmp_path):
    names = {
        "korquad/KorQuAD_v1.0_dev.json": ("korquad", "dev"),
        "klue/ynat-v1.1/ynat-v1.1_dev.json": ("klue_ynat", "dev"),
        "klue/klue-re-v1.1/klue-re-v1.1_dev.json": ("klue_re", "dev"),
        "klue/klue-mrc-v1.1/klue-mrc-v1.1_train.json": ("klue_mrc", "train"),
        "klue/wos-v1.1/wos-v1.1_dev.json": ("klue_wos", "dev"),
        "nsmc/ratings_train.txt": ("nsmc", "train"),
        "nsmc/ratings_test.txt": ("nsmc", "test"),
        "kmmlu/data/Accounting-dev.csv": ("kmmlu", "dev"),
        "kmmlu/Accounting-test.csv": ("kmmlu", "test"),
        "haerae/data/haerae.jsonl": ("haerae", "test"),
        "click/Dataset/Culture/Korean Law/Law_PSAT.json": ("click", "train"),
        "kor_nlu/KorNLI/multinli.train.ko.tsv": ("kornli", "train"),
        "kor_nlu/KorNLI/snli_1.0_train.ko.tsv": ("kornli", "train"),
        "kobest/WiC/test.tsv": ("kobest_wic", "test"),
    }
    for name, (task_name, split) in names.items():
        path = tmp_path / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert str(path) in task(task_name).files(str(tmp_path), split)


def test_the_table_of_the_documentation_is_that_of_the_code(root):
    lines = (root / "docs" / "evaluation_tasks.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and line.count(" | ") == 4]
    assert [row[0].strip("| ") for row in rows[1:]] == list(TASKS)
    for row, spec in zip(rows[1:], TASKS.values(), strict=True):
        files = [f"{split}: `{pattern}`" for split, pattern in spec.splits.items()]
        assert row[1].split("<br>") == files
        assert row[2].split(", ") == list(spec.metrics)
        assert row[3] == f"{spec.shots} × {spec.trials}"
        assert row[4].strip(" |").split(", ") == list(templates(spec.name))
