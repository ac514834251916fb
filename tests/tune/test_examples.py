"""Rows of files as examples: tokens and weights against lists made by hand, and what is refused."""

import json

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError
from hclx.prompts import encode_answers, prompt_from_json
from hclx.tune import TuneConfig
from hclx.tune.examples import choice_examples, prompt_encoder, text_encoder
from hclx.tune.packing import pack, size
from hclx.tune.row_files import Row, read_rows
from hclx.tune.tuning_data import TuningText, prepare_examples
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.tuning_runs import PROMPT, TEXTS, labelled_rows, write_rows

TOKENIZER = ByteTokenizer(300)
EOD, VOCAB = TOKENIZER.eod_id, TOKENIZER.vocab_size
LORA = TuneConfig(kind="lora")
SLOTS = TuneConfig(kind="prompt_tune", length=3)


def ids(text):
    return TOKENIZER.encode(text)


def document(**changes):
    return prompt_from_json({**PROMPT, **changes})


def generated(**changes):
    plain = {name: value for name, value in PROMPT.items() if name not in ("choices", "parser")}
    return prompt_from_json({**plain, **changes})


def assert_is(example, context, completion):
    assert example.tokens.tolist() == [*context, *completion]
    assert example.weights.tolist() == [0] * len(context) + [1] * len(completion)
    assert example.tokens.dtype == np.int32 and example.weights.dtype == np.float32


def rows_of(records):
    return [Row(f"rows:{number}", record) for number, record in enumerate(records, 1)]


def test_only_the_completion_of_a_text_is_learnt():
    for name in ("prompt", "text"):
        (row,) = rows_of([{name: "하나 둘", "completion": " 셋"}])
        begin = [EOD, *ids("하나 둘")]
        assert_is(text_encoder(TOKENIZER)(row), begin, [*ids(" 셋"), EOD])
        assert_is(text_encoder(TOKENIZER, [VOCAB])(row), [VOCAB, *begin], [*ids(" 셋"), EOD])
    (row,) = rows_of([{"prompt": "", "completion": "셋"}])
    assert_is(text_encoder(TOKENIZER)(row), [EOD], [*ids("셋"), EOD])


def test_a_choice_is_the_context_and_the_answer_that_are_scored():
    (row,) = rows_of([{"text": "맑다", "answer": "bad"}])
    example = prompt_encoder(document(), TOKENIZER)(row)
    texts = {"good": "좋음", "bad": "나쁨"}
    scored = encode_answers("글: 맑다\n평: ", texts, TOKENIZER)
    assert_is(example, scored.context, scored.answers["bad"])
    assert_is(example, [EOD, *ids("글: 맑다\n평:")], ids(" 나쁨"))
    assert example.label == "bad"
    all_choices = choice_examples(document(), {"text": "맑다"}, TOKENIZER)
    assert list(all_choices) == ["good", "bad"]
    assert_is(all_choices["good"], scored.context, scored.answers["good"])


def test_a_generated_answer_ends_the_document():
    (row,) = rows_of([{"text": "맑다", "answer": "좋음"}])
    example = prompt_encoder(generated(), TOKENIZER)(row)
    assert_is(example, [EOD, *ids("글: 맑다\n평: ")], [*ids("좋음"), EOD])


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{text} 평:", [VOCAB, VOCAB + 1, VOCAB + 2, EOD, *ids("맑다 평:")]),
        ("{soft}{text} 평:", [EOD, VOCAB, VOCAB + 1, VOCAB + 2, *ids("맑다 평:")]),
        ("가{soft}{text}{soft} 평:", [EOD, *ids("가"), VOCAB, VOCAB + 1, *ids("맑다"), VOCAB + 2]),
        ("{text} 평:{soft}", [EOD, *ids("맑다 평:"), VOCAB, VOCAB + 1, VOCAB + 2]),
    ],
)
@pytest.mark.parametrize("make", [document, generated])
def test_soft_slots_stand_where_the_document_puts_them(template, expected, make):
    (row,) = rows_of([{"text": "맑다", "answer": "good"}])
    encode = prompt_encoder(make(input=template), TOKENIZER, range(VOCAB, VOCAB + 3))
    assert encode(row).tokens.tolist()[: len(expected)] == expected
    plain = prompt_encoder(make(input=template.replace("{soft}", "")), TOKENIZER)(row)
    assert prompt_encoder(make(input=template), TOKENIZER)(row).tokens.tolist() == [*plain.tokens]


def test_examples_of_the_document_have_no_slots():
    shots = [{"text": "흐리다", "answer": "bad", "soft": ""}]
    encode = prompt_encoder(
        document(input="{soft}{text} 평:", examples=shots), TOKENIZER, range(VOCAB, VOCAB + 3)
    )
    tokens = encode(rows_of([{"text": "맑다", "answer": "good"}])[0]).tokens.tolist()
    head = [EOD, *ids("흐리다 평:나쁨\n\n")]
    assert tokens[: len(head) + 4] == [*head, VOCAB, VOCAB + 1, VOCAB + 2, ids("맑")[0]]


def test_packed_rows_are_those_of_a_search_by_hand():
    draw = np.random.default_rng(0)
    examples = [
        text_encoder(TOKENIZER)(row)
        for row in rows_of(
            {"prompt": "가" * int(n), "completion": "나" * int(m)}
            for n, m in draw.integers(1, 5, (40, 2))
        )
    ]
    packed = pack(examples, 90, EOD)
    seen = []
    for n in range(len(packed.rows.tokens_bt)):
        tokens, targets, weights, segments, positions = (field[n] for field in packed.rows)
        for segment in np.unique(segments):
            (index,) = np.nonzero(segments == segment)
            assert index.tolist() == list(range(index[0], index[-1] + 1))
            assert positions[index].tolist() == list(range(len(index)))
            if not weights[index].any():
                assert index[-1] == 89 and segment == segments.max()
                continue
            whole = [*tokens[index], targets[index[-1]]]
            assert targets[index].tolist() == whole[1:]
            seen.append((whole, [0.0, *weights[index]]))
    key = lambda pair: (list(map(int, pair[0])), list(map(float, pair[1])))
    expected = [(example.tokens, example.weights) for example in examples]
    assert sorted(map(key, seen)) == sorted(map(key, expected))
    for number, example in enumerate(examples):
        inside = packed.rows.segments_bt[packed.row[number]] == packed.segment[number]
        own = packed.rows.tokens_bt[packed.row[number]][inside]
        assert own.tolist() == example.tokens[:-1].tolist()
    assert len(packed.rows.tokens_bt) <= 1.2 * sum(map(size, examples)) / 90 + 1


def prepared(
    records, prompt=None, config=LORA, permille=1, length=64, too_long="refuse", held=None
):
    text = TuningText("rows", rows_of(records), held and rows_of(held), prompt, too_long)
    return prepare_examples(text, TOKENIZER, VOCAB, config, length, permille)


def test_rows_are_held_out_by_their_content():
    records = labelled_rows(40)
    first, again = (
        prepared(records, document(), permille=250),
        prepared(records[::-1], document(), permille=250),
    )
    assert (first.n_train, first.n_held_out) == (again.n_train, again.n_held_out) == (30, 10)
    assert len(first.choices) == len(first.labels) == 10
    assert sorted(first.labels) == sorted(again.labels)
    assert first.hashes["prompt"] == again.hashes["prompt"]
    assert first.hashes["text"] != again.hashes["text"]
    twice = prepared(records + records, document(), permille=250)
    assert (twice.n_train, twice.n_held_out) == (60, 20)
    given = prepared(records, document(), held=records[:4])
    assert (given.n_train, given.n_held_out) == (40, 4)


def test_what_is_too_long_is_counted_and_named_or_left_out():
    records = [{"prompt": "가" * n, "completion": "나"} for n in (2, 30, 4, 40)]
    with pytest.raises(DataError, match=r"2 examples of 4 .*=64.* longest 124 \(rows:4\)"):
        prepared(records)
    data = prepared(records, too_long="drop")
    assert (data.n_train, data.n_dropped) == (2, 2)
    with pytest.raises(DataError, match="no example to learn from; 2 examples are too long"):
        prepared(records[1::2], too_long="drop")
    exact = [{"prompt": "가" * 19, "completion": "나나"}]  # 1 + 57 + 6 + 1 tokens
    assert prepared(exact).n_dropped == 0


def test_one_row_is_enough():
    data = prepared([{"prompt": "가", "completion": "나"}], permille=500)
    assert (data.n_train, data.n_held_out, data.held_out) == (1, 0, None)


@pytest.mark.parametrize(
    "record, message",
    [
        ({"text": "맑다"}, "rows:1 has no 'answer', which taste needs; it has text"),
        ({"answer": "good"}, "rows:1 has no 'text'"),
        ({"text": "맑다", "answer": "great"}, "answer='great' is no choice of taste: good, bad"),
        ({"text": ["맑다"], "answer": "good"}, r"text=\['맑다'\] is no text"),
        ({"text": "맑다", "answer": True}, "answer=True is no text"),
    ],
)
def test_rows_that_do_not_fit_the_document_are_named(record, message):
    with pytest.raises(DataError, match=message):
        prepared([record], document())


@pytest.mark.parametrize(
    "record, message",
    [
        ({"prompt": "가"}, "rows:1 has the fields prompt; give prompt"),
        ({"prompt": "가", "text": "나", "completion": "다"}, "rows:1 has the fields prompt, text"),
        ({"prompt": "가", "completion": ""}, "rows:1: the completion is empty"),
        ({"prompt": 1.5, "completion": "다"}, "prompt=1.5 is no text"),
    ],
)
def test_texts_that_are_none_are_named(record, message):
    with pytest.raises(DataError, match=message):
        prepared([record])


def test_a_choice_without_an_example_is_refused():
    with pytest.raises(DataError, match="no example of the choice 'bad' of taste"):
        prepared(labelled_rows()[::2], document())
    numbers = document(choices={"0": "나쁨", "1": "좋음"})
    data = prepared([{"text": "가", "answer": n} for n in (0, 1, 1)], numbers)
    assert data.n_train == 3  # labels that are whole numbers


def test_slots_need_room():
    with pytest.raises(ConfigError, match="in 4 places, and TuneConfig.length=3"):
        prepared(labelled_rows(), document(input="{soft}{soft}{soft}{soft}{text}"), SLOTS)
    with pytest.raises(ConfigError, match="stands in an answer"):
        prepared(labelled_rows(), generated(answer="{soft}{answer}"), SLOTS)


def test_files_are_read_with_their_lines(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes('text,answer\r\n"하나,\r\n둘",good\r\n셋,bad\r\n'.encode("utf-8-sig"))
    expected = [Row(f"{path}:2", {"text": "하나,\r\n둘", "answer": "good"})]
    expected += [Row(f"{path}:4", {"text": "셋", "answer": "bad"})]
    assert read_rows(path) == expected and read_rows(path, limit=1) == expected[:1]
    path.write_bytes("text,answer\r\n셋,bad\r\n".encode("cp949"))
    with pytest.raises(DataError, match=r"rows.csv:2 is not UTF-8; .*DataConfig.encoding=cp949"):
        read_rows(path)
    assert read_rows(path, "cp949") == [Row(f"{path}:2", {"text": "셋", "answer": "bad"})]
    tabs = tmp_path / "rows.tsv"
    tabs.write_text("text\tanswer\n가, 나\tbad\n", encoding="utf-8")
    assert read_rows(tabs)[0].fields == {"text": "가, 나", "answer": "bad"}
    lines = write_rows(tmp_path / "rows.jsonl", [{"text": text} for text in TEXTS])
    assert [row.fields["text"] for row in read_rows(lines)] == list(TEXTS)
    assert read_rows(lines)[3].where == f"{lines}:4"


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", "text,answer\n하나\n", "a.csv:2 has 1 cells, and the first line names 2"),
        ("a.csv", 'text,answer\n"하나,good\n', "a.csv:2 is no CSV"),
        ("a.csv", "text,text\n하나,둘\n", "a.csv:1: two columns have one name"),
        ("a.csv", "text,answer\n", "a.csv has no rows"),
        ("a.jsonl", '{"text": "가"}\n\n{"text"\n', "a.jsonl:3 is no JSON"),
        ("a.jsonl", "[1]\n", r"a.jsonl:1 is \[1\], and no object"),
        ("a.jsonl", "\n", "a.jsonl has no rows"),
        ("a.jsonl", None, "does not exist"),
    ],
)
def test_files_that_are_malformed_are_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / name)


def test_other_files_and_encodings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"give a file .csv, .tsv or .jsonl"):
        read_rows(tmp_path / "rows.parquet")
    write_rows(tmp_path / "rows.jsonl", [json.loads("{}")])
    with pytest.raises(ConfigError, match="'hangul' is not known"):
        read_rows(tmp_path / "rows.jsonl", "hangul")
