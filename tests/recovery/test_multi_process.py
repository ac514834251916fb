"""launch/pretrain.py in several processes: who speaks, and how an error of one of them ends all."""

from tests.helpers.commands import TINY, launch, refused
from tests.helpers.multi_process import ended
from tests.helpers.runs import FILES
from tests.recovery.runs import STEPS, start


def test_only_process_0_speaks_and_writes(whole, said_by_whole):
    first, second = said_by_whole
    assert "on 4 cpu" in first.stdout and f"done: step {STEPS}" in first.stdout
    # Gloo's threads write too, one into the line of another
    for said in ("model: ", "data: ", "done: "):
        assert said in first.stdout and said not in second.stdout
    assert len(list((whole / "tensorboard").iterdir())) == 1
    assert {path.name for path in whole.iterdir()} == FILES | {"examples"}


def test_an_error_of_process_0_while_it_prepares_ends_them_all(tmp_path):
    only = {0: ["--gin.DataConfig.input=/nowhere/*.jsonl"]}  # the other one would find its text
    with start(tmp_path / "run", only=only) as started:
        errors = [refused(result, 65) for result in ended(started)]
    assert errors[0] == errors[1] and "/nowhere/*.jsonl matches no file" in errors[0]


def test_a_flag_that_is_missing_is_named(tmp_path):
    result = launch(
        "pretrain.py",
        *TINY,
        f"--model_dir={tmp_path / 'run'}",
        "--coordinator=127.0.0.1:1",
        "--process_id=0",
    )
    assert "--num_processes missing" in refused(result, 64)
    assert not (tmp_path / "run").exists()
