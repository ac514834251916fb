"""The command `hclx augment`: its options, and a process that is killed and goes on."""

import json
import subprocess

import pytest

from hclx.augment.from_options import Files, augmentation_of, named_labels
from hclx.augment.line_filters import Bounds
from hclx.errors import ConfigError, DataError
from tests.conftest import ROOT
from tests.helpers.commands import command, environment, launch, refused
from tests.helpers.few_shot import PROMPT, REVIEWS
from tests.helpers.killing import kill_when_written

WORDS = ("영화 평", "감정")


def write_seeds(path):
    rows = [f'"{text}",{label}' for text, label in REVIEWS]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def made(files, labels=(), method="hypermix", sampling={}):
    return augmentation_of(method, files, WORDS, labels, sampling, Bounds(), follows_grammar=False)


def test_labels_are_those_of_the_seeds_or_named(tmp_path):
    files = Files(write_seeds(tmp_path / "s.csv"))
    assert made(files).labels == {"0": "0", "1": "1"}
    with pytest.raises(DataError, match=r"s\.csv:2 has the label '1', which is none of 0, 2"):
        made(files, ["0", "2"])
    named = made(files, ["1=긍정", "0=부정"])
    assert named.labels == {"1": "긍정", "0": "부정"}
    assert named.document.choices["1"].text({}) == "긍정"
    assert named_labels([" a = 가 나", "다"]) == {"a": "가 나", "다": "다"}
    for wrong in (["=가"], ["a="], ["a=가", "a=나"], ["a=가", "b=가"], [""]):
        with pytest.raises(ConfigError, match="is no KEY=WORDS"):
            named_labels(wrong)


def test_a_prompt_of_ones_own_has_its_labels(tmp_path):
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(PROMPT))
    files = Files(write_seeds(tmp_path / "s.csv"), str(path))
    assert made(files).labels == {"0": "부정", "1": "긍정"}
    with pytest.raises(ConfigError, match="--labels does not go with"):
        made(files, ["0=가"])
    with pytest.raises(ConfigError, match="has choices; this method needs a prompt whose answer"):
        made(files, method="transfer")


def test_sampling_is_that_of_the_options_the_prompt_or_the_default(tmp_path):
    files = Files(write_seeds(tmp_path / "s.csv"))
    assert made(files, sampling={"temperature": None}).sampling.temperature == 1.0
    assert made(files, sampling={"temperature": 0.5, "top_p": None}).sampling.temperature == 0.5
    raw = {
        **{"schema": "hclx.prompt/1", "name": "x", "input": "{name}:", "answer": " {text}"},
        **{"answer_field": "text", "sampling": {"temperature": 0.3, "max_tokens": 7, "seed": 3}},
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps(raw))
    own = made(Files(None, str(path)), ["가", "나"], "transfer")
    assert own.sampling.temperature == 0.3 and own.sampling.seed == 0
    assert own.labels == {"가": "가", "나": "나"}


def test_evaluation_sets_are_read_from_any_column(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("id\tdocument\tlabel\n1\t좋다\t1\n2\t\t0\n")
    files = Files(exclude=(str(path),), exclude_column="document")
    assert files.evaluation_sets() == {str(path): ["좋다"]}
    with pytest.raises(DataError, match="no column 'text'; the file has id, document, label"):
        Files(exclude=(str(path),)).evaluation_sets()
    with pytest.raises(DataError, match="has no texts in the column"):
        path.write_text("document\n")
        Files(exclude=(str(path),), exclude_column="document").evaluation_sets()


def test_what_cannot_be_is_refused_before_a_model_is_loaded(tmp_path):
    seeds = write_seeds(tmp_path / "s.csv")
    base = ["--model_dir=/nowhere", f"--output={tmp_path / 'out'}", f"--seeds={seeds}"]
    message = refused(launch("augment.py", *base, "--near=0", "--text_type=a"), 64)
    assert message == "error: near=0.0 is out of range: give a value above 0 and at most 1"
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_command_that_was_killed_goes_on_to_the_same_lines(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("tokenizers")
    pytest.importorskip("llguidance")
    from hclx.convert.importing import import_model
    from tests.helpers.families import save_model
    from tests.helpers.foreign_tokenizers import save_tokenizer

    (tmp_path / "hf").mkdir()
    save_model("llama", tmp_path / "hf", vocab_size=512)
    save_tokenizer("Qwen", tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "run")

    def options(name):
        return [
            *(f"--model_dir={tmp_path / 'run'}", f"--seeds={write_seeds(tmp_path / 's.csv')}"),
            *("--text_type=평", "--label_type=감정", "--labels=0=부정,1=긍정", "--n=3"),
            *("--max_chars=60", "--language=", "--shots=1", f"--output={tmp_path / name}"),
        ]

    done = launch("augment.py", *options("whole"))
    assert done.returncode == 0 and "3 lines of" in done.stdout, done.stderr
    process = subprocess.Popen(
        command("augment.py", *options("killed")),
        env=environment(),
        start_new_session=True,
        cwd=ROOT,
    )
    path = tmp_path / "killed" / "samples" / "attempts.jsonl"
    kill_when_written(process, path)
    assert not (tmp_path / "killed" / "augmented.jsonl").exists()
    assert launch("augment.py", *options("killed")).returncode == 0
    for name in ("augmented.jsonl", "rejected.jsonl", "card.html"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    message = refused(launch("augment.py", *options("killed"), "--seed=1"), 64)
    assert "has results of another plan: seed: 0 -> 1" in message
