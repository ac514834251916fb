"""The dry run of tuning: what it prints, against counts and texts made by hand."""

import dataclasses

import pytest

from hclx.errors import ConfigError
from hclx.prompts import prompt_from_json
from hclx.train import dry_run
from hclx.train.run import RunOptions
from hclx.tune import TuneConfig
from hclx.tune.preview import decoder, preview, rendered_examples, tokens_in_words
from hclx.tune.row_files import Row
from hclx.tune.text_rows import prepare_groups
from hclx.tune.tuning_data import TuningText, prepare_examples
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.tuning_runs import MESH, PROMPT, settings

TOKENIZER = ByteTokenizer(300)
VOCAB = 320  # of a model that has more ids than its tokenizer
TEXTS = {"국이 맑다": "good", "밥이 굳었다": "bad", "차가 식었다": "bad", "빵이 희다": "good"}
ROWS = [Row("1", {"text": text, "answer": answer}) for text, answer in TEXTS.items()]


def examples_of(prompt=PROMPT, rows=ROWS, **fields):
    text = TuningText("rows", rows, [], prompt and prompt_from_json(prompt))
    config = TuneConfig(**{"kind": "lora", **fields})
    data = prepare_examples(text, TOKENIZER, VOCAB, config, 256, 0)
    return data, list(rendered_examples(data, decoder(TOKENIZER, VOCAB)))


def test_what_is_learnt_is_marked():
    assert examples_of()[1] == [
        "글: 국이 맑다\n평:⟦ 좋음⟧",
        "글: 밥이 굳었다\n평:⟦ 나쁨⟧",
        "글: 차가 식었다\n평:⟦ 나쁨⟧",
    ]
    assert examples_of(objective="choices")[1] == [
        "글: 국이 맑다\n평:⟦ 좋음⟧, and not ⟦ 나쁨⟧",
        "글: 밥이 굳었다\n평:⟦ 나쁨⟧, and not ⟦ 좋음⟧",
        "글: 차가 식었다\n평:⟦ 나쁨⟧, and not ⟦ 좋음⟧",
    ]
    soft = {**PROMPT, "input": "글: {text}\n{soft}평: "}
    assert (
        examples_of(soft, kind="prompt_tune", length=2)[1][0] == "글: 국이 맑다\n⟨0⟩⟨1⟩평:⟦ 좋음⟧"
    )
    text = [Row("1", {"prompt": "하나", "completion": " 둘"})]
    assert examples_of(None, text)[1] == ["하나⟦ 둘⟧"]


def test_texts_that_belong_together_are_shown_and_counted():
    rows = [
        Row("1", {"query": "국?", "positive": "맑은 국.", "negative": "눈"}),
        Row("2", {"query": "밥?", "positive": "굳은 밥."}),
    ]
    config = TuneConfig(kind="lora", objective="contrast")
    data = prepare_groups(TuningText("rows", rows, []), TOKENIZER, VOCAB, config, 256, 0)
    shown = [text.replace("<eod>", "") for text in rendered_examples(data, decoder(TOKENIZER, 320))]
    assert shown == ["⟦국?⟧, ⟦맑은 국.⟧, ⟦눈⟧", "⟦밥?⟧, ⟦굳은 밥.⟧"]
    n_bytes = sum(len(text.encode()) for row in rows for text in row.fields.values())
    assert tokens_in_words(data) == f"tokens: {n_bytes + 2 * 5} in 2 groups of texts"


def test_tokens_are_counted():
    """Of bytes, as the tokenizer has them: a context, and an answer of a space and six bytes."""
    data, _ = examples_of()
    sizes = [1 + len(f"글: {row.fields['text']}\n평: 좋음".encode()) for row in ROWS]
    assert tokens_in_words(data) == (
        f"tokens: {sum(sizes)} in 4 sequences, the longest {max(sizes)}; {4 * 7} are learnt"
    )
    data, _ = examples_of(objective="choices")
    assert f"tokens: {2 * sum(sizes)} in 8 sequences" in tokens_in_words(data)


@pytest.mark.parametrize("objective", ["text", "choices"])
def test_a_dry_run_prints_and_leaves_nothing(place, tmp_path, capsys, objective, monkeypatch):
    experiment, config = settings(place, objective=objective, train={"sequence_length": 96})
    text = TuningText("rows", place.rows, prompt=place.prompt)
    start = RunOptions(init_from=place.base)
    preview(experiment, config, text, str(tmp_path / "run"), start, MESH)
    out = capsys.readouterr().out
    n = 2 * 2 * 8 * (32 + 32)  # q and v of two layers
    for words in (f"lora: {n:,} parameters", "(8.2 KB)", "9 examples, 3 held out", "example 3: "):
        assert words in out
    assert "classes: good " in out and "⟦" in out and "memory per device" in out
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(dry_run, "_memory", lambda n: (n, 1, "this machine"))
    with pytest.raises(ConfigError, match="does not fit this machine"):
        preview(experiment, config, text, None, start, MESH)
    experiment = dataclasses.replace(
        experiment, train=dataclasses.replace(experiment.train, z_loss=0.1)
    )
    if objective == "choices":
        with pytest.raises(ConfigError, match="z_loss"):
            preview(experiment, config, text, None, start, MESH)
