"""launch/train_output_filter.py, and the server that loads what it writes, as users type them."""

import pytest

from hclx.serve.safety.filter_file import load_filter
from tests.conftest import SAMPLE
from tests.helpers.commands import launch, refused
from tests.serve.safety.test_label_model import HATE, TEXTS

CATEGORY = "--category=curse/insult:hate=hate"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.tsv"
    lines = ["text\thate", *(f"{text}\t{label}" for text, label in zip(TEXTS, HATE))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"--train={path}"


def test_a_filter_is_trained_and_measured(rows, tmp_path):
    output, test = tmp_path / "made" / "words.npz", rows.replace("--train", "--test")
    options = (f"--harmless={SAMPLE}", "--max_harmless=30", "--held_out=4")
    result = launch("train_output_filter.py", rows, test, CATEGORY, *options, f"--output={output}")
    assert result.returncode == 0, result.stderr
    assert "curse/insult level 0: from 0." in result.stdout
    assert "hate: accuracy 1.000, macro F1 1.000" in result.stdout
    made = load_filter(output)
    assert made.name == "words" and [category.name for category in made.categories] == ["insult"]
    assert made.judge("바보 같은 멍청이")[0].level == 0


def test_options_that_cannot_be_are_refused(rows, tmp_path):
    output = f"--output={tmp_path}/words.npz"

    def refusal(code, *options):
        return refused(launch("train_output_filter.py", output, *options), code)

    assert "--category is missing" in refusal(64, rows)
    assert "give GROUP/NAME:COLUMN=VALUE" in refusal(64, rows, "--category=insult")
    assert "no text 'bias'" in refusal(65, rows, "--category=a/b:bias=x")
    options = rows, CATEGORY, f"--harmless={SAMPLE}", "--harmless_value=fine"
    assert "--harmless_value=fine is no hate; there are hate, none" in refusal(64, *options)
    assert not list(tmp_path.glob("*.npz"))


def test_a_server_begins_with_no_filter_that_it_cannot_read(tmp_path):
    path = tmp_path / "none.npz"
    model = f"--model_dir={tmp_path}"
    assert "none.npz does not exist" in refused(launch("serve.py", model, f"--filter={path}"), 65)
    assert "--block=0 needs --filter" in refused(launch("serve.py", model, "--block=0"), 64)
