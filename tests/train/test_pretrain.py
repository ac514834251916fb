"""A run in one process, with a real folder, cache and checkpoints: where it starts from, what its
hooks do, and how it ends.
"""

import contextlib
import dataclasses
import functools
import json
import math
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import DataConfig, MeshConfig, ModelConfig
from hclx.data import TokenCache
from hclx.data.cache_builder import build_cache
from hclx.data.source import ReadSettings
from hclx.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NumericsError,
    StorageError,
    StuckError,
)
from hclx.parallel import make_mesh
from hclx.train import Checkpointer, initial_weights, run_data, validation
from hclx.train import dry_run as dry_run_module
from hclx.train import pretrain as pretrain_module
from hclx.train.checkpoint_format import LoopState, read_json_items
from hclx.train.checkpoint_tools import rewind
from hclx.train.dry_run import dry_run
from hclx.train.events import read_events
from hclx.train.messages import ending
from hclx.train.metrics_writer import read_metrics
from hclx.train.pretrain import (
    Hook,
    one_step,
    pretrain,
    save_checkpoint,
    save_until_good,
    starting_point,
    train_loop,
)
from hclx.train.rewind_history import Lineage, Rewind
from hclx.train.run import RunOptions, open_run
from hclx.train.run_dir import versions
from hclx.train.run_parts import can_evaluate, pretraining_parts
from hclx.train.step import evaluate, make_program, make_token_losses
from hclx.train.watchdog import Watchdog
from tests.helpers.checkpoints import largest
from tests.helpers.meshes import ONE, devices_of
from tests.helpers.meshes import experiment as experiment_of
from tests.helpers.sources import memory_source

MODEL = ModelConfig(vocab_size=1024, n_layers=1, d_model=32, n_heads=2, max_length=64)


def experiment(model=MODEL, **train):
    settings = {"total_steps": 4, "global_batch_size": 8, "checkpoint_every": 2, "log_every": 1}
    whole = experiment_of(ONE, **settings | train)
    return dataclasses.replace(whole, model=model, data=DataConfig(input="none"))


@pytest.fixture
def own_text(tmp_path):
    """Text of one's own, in a file so large that a dry run does not prepare it."""
    path = tmp_path / "own.txt"
    path.write_text("가나다라\n" * 90_000, encoding="utf-8")
    return DataConfig(input=str(path))


@functools.cache
def compiled(experiment, factors):
    """The programs of an experiment, which all runs of it share."""
    return make_program(experiment, make_mesh(ONE, devices_of(ONE)), factors)


@pytest.fixture(scope="module")
def cache_dir(tokenizer_dirs, tmp_path_factory, sample_texts):
    """The folder of a token cache of the sample."""
    folder = tmp_path_factory.mktemp("cache") / "cache"
    source, settings = memory_source("sample", sample_texts), ReadSettings(200)
    build_cache("sample", [source], tokenizer_dirs["plain"], folder, settings)
    return str(folder)


@pytest.fixture(scope="module")
def open_in(tokenizer_dirs, cache_dir):
    """Opens a run in a folder: (folder, experiment, cache, **options) -> context of a `Run`."""
    sample = TokenCache(cache_dir)

    @contextlib.contextmanager
    def opened(folder, experiment=experiment(), cache=sample, **options):
        mesh = make_mesh(ONE, devices_of(ONE))
        options = RunOptions(lease_seconds=1.0, **options)
        run_of = experiment, str(folder), mesh, cache, tokenizer_dirs["plain"]
        make = functools.partial(compiled, experiment)
        parts = dataclasses.replace(pretraining_parts(*run_of), make_program=make)
        with jax.set_mesh(mesh), open_run(experiment, str(folder), options, parts) as run:
            yield run

    return opened


@pytest.fixture(scope="module")
def finished(open_in, tmp_path_factory):
    """The folder of a run that is done, and its last state."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with open_in(folder) as run:
        state = train_loop(run, starting_point(run))
    return folder, jax.device_get(state)


@pytest.fixture()
def killed(finished, tmp_path):
    """The folder of the same run as a kill after the save of step 2 would leave it."""
    folder = shutil.copytree(finished[0], tmp_path / "killed")
    shutil.rmtree(folder / "checkpoints" / "4")
    return folder


def kinds(folder):
    return [event["event"] for event in read_events(folder)]


def equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(tree), jax.device_get(other))


def test_a_run_from_random_weights_to_the_end(finished):
    folder, state = finished
    assert kinds(folder) == ["start", "begin", "first_step", "save", "save", "verify", "exit"]
    begin = read_events(folder)[1]
    assert (begin["step"], begin["init_from"], begin["rewound"]) == (0, None, False)
    assert [record["step"] for record in read_metrics(folder)] == [1, 2, 3, 4]
    assert state.step == 4 and state.frozen == {}


EPSILON = "is of another model: ModelConfig.layer_norm_epsilon is 1e-05 there and 0.001 here; set"


class TestStartingPoint:
    def test_1_its_own_newest_good_checkpoint(self, open_in, finished, killed):
        with open_in(killed) as run:
            state = starting_point(run)
            assert (run.progress.step, run.progress.next_index) == (2, 16) and state.step == 2
            whole = train_loop(run, state)
        equal(whole, finished[1])

    def test_a_run_that_recorded_the_old_fingerprint_of_its_text_goes_on(self, open_in, killed):
        path = killed / "config.json"
        config = json.loads(path.read_text())
        with open_in(killed) as run:
            old = run.loader._cache.old_fingerprint
        config["hashes"]["text"] = old
        path.write_text(json.dumps(config))
        with open_in(killed) as run:
            assert starting_point(run).step == 2
        assert json.loads(path.read_text())["hashes"]["text"] == old

    def test_2_its_beginning_after_a_rewind_to_step_0(self, open_in, finished, killed, tmp_path):
        rewind(killed, 0)
        with open_in(killed) as run:
            state = starting_point(run)
            assert state.step == 0 and read_events(killed)[-1]["rewound"]
            equal(train_loop(run, state), finished[1])

    def test_3_the_weights_of_another_run(self, open_in, finished, tmp_path):
        folder, other = finished
        with open_in(tmp_path, experiment(seed=7), init_from=f"{folder}:2") as run:
            state = jax.device_get(starting_point(run))
        with Checkpointer(folder, read_only=True) as reader:
            expected, _ = reader.restore_params(run.program.abstract_state.params, 2)
        equal(state.params, expected)
        assert state.step == 0 and not any(map(np.any, jax.tree.leaves(state.opt_state)))
        source = {"model_dir": str(folder), "step": 2}
        assert source.items() <= read_events(tmp_path)[1]["init_from"].items()

    def test_the_source_is_recorded_and_needed_only_once(self, open_in, finished, tmp_path):
        folder, _ = finished
        with open_in(tmp_path / "run", init_from=str(folder)) as run:
            train_loop(run, starting_point(run))
            _, description = run.checkpointer.describe(4), run.description["init_from"]
            assert run.checkpointer.describe(4)[0]["init_from"] == description
            assert description["step"] == 4  # the newest
        for init_from in ("", str(folder), f"{folder}:4", f"{folder}/checkpoints/4"):
            with open_in(tmp_path / "run", init_from=init_from) as run:
                assert starting_point(run).step == 4
                assert run.description["init_from"] == description

    def test_the_weights_of_another_run_are_evaluated_before_the_first_step(
        self, open_in, finished, tmp_path, caplog
    ):
        evaluated = experiment(eval_every=4, eval_windows=8)
        options = {"experiment": evaluated, "init_from": str(finished[0])}
        with caplog.at_level("INFO"), open_in(tmp_path, **options) as run:
            state = starting_point(run)
            expected = validation.evaluate(run, state)
            state = train_loop(run, state)
            train_loop(run, state)  # has nothing to do
        events = [event for event in read_events(tmp_path) if event["event"] == "evaluate"]
        assert [expected.items() <= event.items() for event in events] == [True]
        figures = expected["validation_loss"], expected["bits_per_byte"]
        assert "step 0: validation loss %.4f, %.4f bits a byte" % figures in caplog.text
        assert read_metrics(tmp_path)[-1]["bits_per_byte"] != expected["bits_per_byte"]

    def test_a_run_has_one_beginning(self, open_in, finished, tmp_path):
        folder, _ = finished
        for step in (4, 2):  # as long as it has no checkpoint, it may begin from another
            with open_in(tmp_path, init_from=f"{folder}:{step}"):
                pass
        (tmp_path / "checkpoints" / "1").mkdir()
        for init_from in (f"{folder}:4", str(tmp_path)):
            message = "holds a run that began from .*finished:2; choose another --model_dir"
            with (
                pytest.raises(ConfigError, match=message),
                open_in(tmp_path, init_from=init_from),
            ):
                pass
        with (
            pytest.raises(ConfigError, match="began from random weights"),
            open_in(folder, init_from=str(tmp_path)),
        ):
            pass

    def test_a_missing_source_is_told_before_any_other_work(self, tmp_path):
        """Of the data, too: its files do not exist, which would be told next."""
        missing, whole = str(tmp_path / "nowhere"), experiment()
        for begin in (
            lambda: pretrain(whole, str(tmp_path / "run"), RunOptions(init_from=missing)),
            lambda: dry_run(whole, None, RunOptions(init_from=missing)),
        ):
            with pytest.raises(CheckpointError, match="the folder .*nowhere does not exist"):
                begin()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("model", "suffix", "message"),
        [
            (dataclasses.replace(MODEL, d_model=64), "", "4 is of another model: params/.* there"),
            (MODEL, ":3", "has no step 3; it has .2, 4."),
            (MODEL, "/nowhere", "the folder .*/nowhere does not exist; .*finished has checkpoints"),
            (MODEL, "/tensorboard", "checkpoints holds no checkpoint; .*tensorboard has events"),
            (dataclasses.replace(MODEL, layer_norm_epsilon=1e-3), "", EPSILON),
            (dataclasses.replace(MODEL, d_model=64), "", "ModelConfig.d_model is 32 there and 64"),
            (dataclasses.replace(MODEL, qk_norm=True), "", "ModelConfig.qk_norm is False there"),
            (dataclasses.replace(MODEL, n_heads=4), "", "ModelConfig.n_heads is 2 there and 4"),
        ],
    )
    def test_what_does_not_fit_is_refused_and_the_folder_stays_free(
        self, model, suffix, message, open_in, finished, tmp_path
    ):
        with (
            pytest.raises(CheckpointError, match=message),
            open_in(tmp_path, experiment(model), init_from=f"{finished[0]}{suffix}"),
        ):
            pass
        assert not list(tmp_path.iterdir())

    def test_what_does_not_fit_is_refused_before_any_data_is_prepared(
        self, finished, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(run_data, "prepare", lambda *_: pytest.fail("data was prepared"))
        folder, own = finished[0], tmp_path / "own"
        cases = {
            f"{folder}:abc": "'abc' after the colon is not a step.*; write MODEL_DIR:STEP",
            f"{folder}:-1": "'-1' after the colon is not a step",
            f"{folder}:": "'' after the colon is not a step",
            ":3": "no folder is before it",
            f"{folder}:3": "has no step 3; it has .2, 4.; name one of these",
            f"{folder}/nowhere": "does not exist; .* has checkpoints, .*; give the folder of a run",
            str(own): "is the folder of this run itself",
        }
        for init_from, message in cases.items():
            options = RunOptions(init_from=init_from)
            with pytest.raises((ConfigError, CheckpointError), match=message) as error:
                pretrain(experiment(), str(own), options)
            assert str(error.value).startswith(f"--init_from={init_from}")
            with pytest.raises(type(error.value), match=message):
                dry_run(experiment(), str(own), options)
        assert not own.exists()
        other = experiment(dataclasses.replace(MODEL, layer_norm_epsilon=1e-3))
        with pytest.raises(CheckpointError, match=EPSILON):
            dry_run(other, None, RunOptions(init_from=str(folder)))

    def test_the_dry_run_says_where_the_weights_come_from(self, finished, own_text, capsys):
        model = dataclasses.replace(MODEL, init_std=0.1)  # draws fresh weights only
        whole = dataclasses.replace(experiment(model), mesh=MeshConfig(), data=own_text)
        dry_run(whole, None, RunOptions(init_from=f"{finished[0]}:2"))
        assert f"begins from        step 2 of {finished[0]}\n" in capsys.readouterr().out
        dry_run(whole)
        assert "begins from        random weights" in capsys.readouterr().out

    def test_the_dry_run_looks_for_the_text(self, own_text, cache_dir, tmp_path, capsys):
        whole = dataclasses.replace(experiment(), mesh=MeshConfig(), data=own_text)
        missing = dataclasses.replace(whole, data=DataConfig(input="/nowhere/*.jsonl"))
        with pytest.raises(DataError, match="/nowhere/.*.jsonl matches no file"):
            dry_run(missing, str(tmp_path / "run"))
        # a run that has its cache reads no text
        data = dataclasses.replace(missing.data, cache_dir=cache_dir)
        dry_run(dataclasses.replace(missing, data=data), str(tmp_path / "run"))
        assert f"text               token cache {cache_dir}\n" in capsys.readouterr().out

    def test_the_dry_run_says_whether_the_run_fits_the_machine(self, own_text, monkeypatch, capsys):
        whole = dataclasses.replace(experiment(), mesh=MeshConfig(), data=own_text)
        pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10**9}
        monkeypatch.setattr(dry_run_module.os, "sysconf", lambda name: pages[name])
        dry_run(whole)
        assert " needed, 4.1 TB in this machine" in capsys.readouterr().out
        pages["SC_PHYS_PAGES"] = 10
        with pytest.raises(ConfigError, match="does not fit this machine: .* has 41.0 KB"):
            dry_run(whole)
        assert "memory per device" in capsys.readouterr().out  # the page comes first

    def test_the_model_of_an_old_checkpoint_is_that_of_its_config_json(
        self, finished, tmp_path, monkeypatch
    ):
        def without_model(path):
            meta, loop = read_json_items(path)
            return {name: value for name, value in meta.items() if name != "model"}, loop

        monkeypatch.setattr(initial_weights, "read_json_items", without_model)
        other = dataclasses.replace(MODEL, layer_norm_epsilon=1e-3)
        with pytest.raises(CheckpointError, match=EPSILON):
            initial_weights.choose_initial_weights(tmp_path, str(finished[0]), other)
        assert initial_weights.choose_initial_weights(tmp_path, str(finished[0]), MODEL)

    def test_damaged_or_exchanged_weights_are_refused(self, open_in, finished, tmp_path):
        source = shutil.copytree(finished[0], tmp_path / "source")
        options = {"init_from": f"{source}:4"}
        with open_in(tmp_path / "run", **options):
            pass
        with open_in(tmp_path / "other", experiment(seed=7)) as run:
            train_loop(run, starting_point(run))
        for other, message in (
            (source / "checkpoints" / "2", "4 holds the checkpoint of step 2, and its name says 4"),
            (tmp_path / "other" / "checkpoints" / "4", "holds other weights than when this run"),
        ):
            shutil.rmtree(source / "checkpoints" / "4")
            shutil.copytree(other, source / "checkpoints" / "4")
            with (
                pytest.raises(CheckpointError, match=message),
                open_in(tmp_path / "run") as run,
            ):
                starting_point(run)
        largest(source / "checkpoints" / "4", "params").write_bytes(b"")
        with (
            pytest.raises(CheckpointError, match="4: .*name an older step"),
            open_in(tmp_path / "run") as run,
        ):
            starting_point(run)

    def test_another_vocabulary_of_the_same_size_is_refused(self, open_in, finished, tmp_path):
        source = shutil.copytree(finished[0], tmp_path / "source")
        with open_in(tmp_path / "other") as run:
            description = run.description | {"hashes": {"vocabulary": "v" * 20, "text": "t"}}
            run = dataclasses.replace(run, description=description)
            train_loop(run, starting_point(run))
        shutil.rmtree(source)
        with (
            pytest.raises(CheckpointError, match="trained with another vocabulary .vvvvvvvvvvvv,"),
            open_in(tmp_path / "run", init_from=str(tmp_path / "other")),
        ):
            pass

    def test_other_versions_are_reported_at_the_resume(self, open_in, tmp_path, caplog):
        with open_in(tmp_path) as run:
            old = run.description | {"versions": versions() | {"jax": "0.0.1"}}
            run = dataclasses.replace(run, description=old)
            train_loop(run, starting_point(run))
        with open_in(tmp_path) as run:
            starting_point(run)
        restore = next(e for e in read_events(tmp_path) if e["event"] == "restore")
        assert "jax 0.0.1 -> " in caplog.text and restore["next_index"] == 32
        assert list(restore["versions_changed"]) == ["jax"]

    def test_a_checkpoint_of_another_history_is_refused(self, open_in, killed):
        with open_in(killed) as run:
            run = dataclasses.replace(run, lineage=Lineage((Rewind(1, ((8, 16),)),)))
            with pytest.raises(CheckpointError, match="tells another history"):
                starting_point(run)


def test_the_last_checkpoint_is_read_back_and_saved_again_if_it_is_not_what_was_saved(
    open_in, finished, tmp_path
):
    """The disk damages the first save of the last step, after it was written."""
    events = []

    def report(event, **fields):
        events.append(event)
        if events == ["save"]:
            largest(tmp_path / "checkpoints" / "4", "params").write_bytes(b"")

    with open_in(tmp_path) as run, Checkpointer(tmp_path, report=report) as checkpointer:
        run = dataclasses.replace(run, checkpointer=checkpointer)
        state = jax.device_put(
            finished[1], jax.tree.map(lambda x: x.sharding, run.program.abstract_state)
        )
        run.progress.step = 4
        checkpointer.save(state, LoopState(32, []), {})
        save_until_good(run, state)
        assert checkpointer.problem(4, run.program.abstract_state) == ""
    assert events == ["save", "quarantine", "save"]
    checks = [event["good"] for event in read_events(tmp_path) if event["event"] == "verify"]
    assert checks == [False, True]


def test_a_last_save_that_is_never_read_back_ends_the_run(open_in, finished, tmp_path):
    """A disk that damages every save, after it was written."""
    events = []

    def report(event, **fields):
        events.append(event)
        if event == "save":
            largest(tmp_path / "checkpoints" / "4", "params").write_bytes(b"")

    with open_in(tmp_path) as run, Checkpointer(tmp_path, report=report) as checkpointer:
        run = dataclasses.replace(run, checkpointer=checkpointer)
        shardings = jax.tree.map(lambda x: x.sharding, run.program.abstract_state)
        state = jax.device_put(finished[1], shardings)
        run.progress.step = 4
        checkpointer.save(state, LoopState(32, []), {})
        with pytest.raises(StorageError, match="step 4 was saved 3 times, and was never read back"):
            save_until_good(run, state)
    assert events == ["save", "quarantine"] * 3


def test_a_replay_that_differs_by_one_bit_ends_the_run(open_in, tmp_path):
    """A replay on sound hardware changes nothing; hardware that flips one bit is noticed."""
    with open_in(tmp_path, experiment(replay_every=2)) as run:
        state, (_, batch) = starting_point(run), next(run.loader.iterate(0))
        expected = jax.device_get(run.program.replay_step(state, batch))
        calls = []

        def faulty(state, batch):
            calls.append(len(calls))
            after, metrics = run.program.replay_step(state, batch)
            flip = lambda x: jax.lax.bitcast_convert_type(
                jax.lax.bitcast_convert_type(x, jnp.uint32)
                .at[0]
                .set(jax.lax.bitcast_convert_type(x, jnp.uint32)[0] ^ jnp.uint32(1)),
                jnp.float32,
            )
            norm = after.trainable["final_norm"]
            broken = after.trainable | {"final_norm": norm | {"bias": flip(norm["bias"])}}
            return after._replace(trainable=broken) if calls[-1] else after, metrics

        run.progress.step = 4
        equal(one_step(run, state, batch), expected)
        broken = dataclasses.replace(
            run, program=dataclasses.replace(run.program, replay_step=faulty)
        )
        with pytest.raises(StuckError, match="step 4, run twice .*first params/final_norm/bias"):
            one_step(broken, state, batch)
        broken.progress.step = 3  # not a multiple: the state is donated to one step
        equal(one_step(broken, state, batch), expected)
        assert calls == [0, 1]


def test_too_many_skipped_steps_end_the_run(open_in, tmp_path):
    """A guard that refuses every step: all good losses of the past were 0."""
    settings = {"max_skipped": 3, "spike_sigmas": 1.0, "spike_window": 2}
    with (
        pytest.raises(NumericsError, match="step 3 was skipped .spike.*, the 3th in a row"),
        open_in(tmp_path, experiment(**settings, checkpoint_every=3)) as run,
    ):
        state = starting_point(run)
        train_loop(run, state._replace(guard=state.guard._replace(good=jnp.int32(2))))
    assert kinds(tmp_path)[2:] == ["first_step", *["spike"] * 3, "exit"]  # and nothing was saved
    assert read_events(tmp_path)[-1]["code"] == NumericsError.exit_code


@pytest.mark.parametrize(
    ("hook", "due"),
    [
        (Hook(2, print), [2, 4, 5]),
        (Hook(2, print, also_last=False), [2, 4]),
        (Hook(0, print), []),
        (Hook(9, print), [5]),
    ],
)
def test_when_a_hook_is_due(hook, due):
    assert [step for step in range(1, 6) if hook.is_due(step, step == 5, False)] == due
    stopped = dataclasses.replace(hook, also_stopped=True)
    assert stopped.is_due(3, False, True) == (hook.every > 0) and not hook.is_due(3, False, True)


def test_evaluation_weighs_the_sequences_that_it_is_given(open_in, tmp_path):
    """Any number of them, in batches of another size, against the mean of their losses."""
    with open_in(tmp_path, experiment(eval_every=4, eval_windows=5)) as run:
        state, n = starting_point(run), 13
        values = evaluate(run.program, state.params, run.validation, run.token_bytes, n)
        losses_of = jax.jit(make_token_losses(MODEL, run.experiment.compute))
        batches = [run.validation.batch(index) for index in (0, 8)]
        losses = np.concatenate([np.asarray(losses_of(state.params, b)) for b in batches])[:n]
        targets = np.concatenate([np.asarray(b.targets_bt) for b in batches])[:n]
        n_bytes = np.asarray(run.token_bytes)[targets].sum()
        assert values["validation_loss"] == pytest.approx(losses.mean(), rel=1e-6)
        bits = losses.astype(np.float64).sum() / math.log(2) / n_bytes
        assert values["bits_per_byte"] == pytest.approx(bits, rel=1e-6)
        train_loop(run, state)
    evaluated = [r["step"] for r in read_metrics(tmp_path) if "bits_per_byte" in r]
    assert evaluated == [4]
    exit_event = read_events(tmp_path)[-1]
    assert set(exit_event["spent"]) == {"evaluation", "saving"}


def test_text_that_is_too_short_for_one_sequence_is_not_evaluated(
    open_in, tokenizer_dirs, sample_texts, tmp_path, caplog
):
    settings = ReadSettings(200)
    is_in = lambda split: lambda text: settings.split_of(text) == split
    short = next(filter(is_in("validation"), (f"짧은 글 {i}" for i in range(99))))
    source = memory_source("short", [*filter(is_in("train"), sample_texts), short])
    cache = build_cache("short", [source], tokenizer_dirs["plain"], tmp_path / "cache", settings)
    assert 0 < cache.n_tokens("validation") <= 64
    keep = {"eval_every": 2, "keep_best": 1}
    with open_in(tmp_path / "run", experiment(**keep), cache) as run:
        train_loop(run, starting_point(run))
        assert run.validation is None and run.checkpointer.steps() == [2, 4]
    assert not any("validation_loss" in record for record in read_metrics(tmp_path / "run"))
    (told,) = (r.getMessage() for r in caplog.records if "no validation loss" in r.getMessage())
    assert "TrainConfig.keep_best keeps nothing" in told and "a sequence has 64" in told
    assert "larger DataConfig.validation_permille" in told


@pytest.mark.parametrize(
    ("n_tokens", "eval_every", "evaluates"),
    [(64, 2, False), (65, 2, True), (65, 0, False), (0, 2, False)],
)
def test_one_whole_sequence_is_enough_to_evaluate(n_tokens, eval_every, evaluates, caplog):
    cache = SimpleNamespace(rates=[1.0], n_tokens=lambda split, source: n_tokens)
    assert can_evaluate(experiment(eval_every=eval_every), cache) == evaluates
    assert ("no validation loss is computed" in caplog.text) == (n_tokens < 65)


def test_the_run_looks_after_every_step_whether_a_save_is_done(open_in, tmp_path, monkeypatch):
    looks, look = [], Checkpointer.look
    monkeypatch.setattr(Checkpointer, "look", lambda self: looks.append(look(self)))
    with open_in(tmp_path, experiment(total_steps=4, checkpoint_every=2)) as run:
        train_loop(run, starting_point(run))
    assert len(looks) >= 4


def losses_of_steps(monkeypatch, losses):
    """Lets a run be evaluated to these losses, one after the other."""
    values = iter(losses)
    evaluate_to = lambda *_: {"validation_loss": next(values), "bits_per_byte": 1.0}
    monkeypatch.setattr(pretrain_module, "evaluate", evaluate_to)


def test_a_run_keeps_its_best_checkpoint_and_finds_it_again(open_in, tmp_path, monkeypatch):
    often = {"eval_every": 2, "checkpoint_every": 1, "keep_last": 1, "keep_best": 1}
    losses_of_steps(monkeypatch, [5.0, math.nan, 7.0, 6.0])
    for total_steps in (4, 8):
        with open_in(tmp_path, experiment(**often, total_steps=total_steps)) as run:
            train_loop(run, starting_point(run))
            assert run.checkpointer.steps() == [2, total_steps]
        assert ending(run).endswith("; lowest validation loss 5.0000 at step 2")
    records = (tmp_path / "metrics.jsonl").read_text()
    assert [r.get("validation_loss") for r in read_metrics(tmp_path)] == [
        None, 5.0, None, None, None, 7.0, None, 6.0
    ]  # fmt: skip
    assert "NaN" not in records


def test_the_loss_of_a_checkpoint_is_that_of_its_own_step(open_in, tmp_path, monkeypatch):
    """Also of one that is saved a second time."""
    losses_of_steps(monkeypatch, [5.0, 4.0])
    often = {"eval_every": 2, "checkpoint_every": 1, "keep_last": 4}
    with open_in(tmp_path, experiment(**often)) as run:
        loss_of = lambda step: run.checkpointer.describe(step)[0]["validation_loss"]
        state = train_loop(run, starting_point(run))
        assert [loss_of(step) for step in (1, 2, 3, 4)] == [None, 5.0, None, 4.0]
        shutil.rmtree(tmp_path / "checkpoints" / "4")
        assert run.checkpointer.steps() == [1, 2, 3]
        save_checkpoint(run, state)
        save_until_good(run, state)
        assert loss_of(4) == 4.0


class GuardsTransfers(Watchdog):
    """Allows only explicit transfers from the second step to the fifth."""

    guard = contextlib.ExitStack()

    def alive(self, step):
        super().alive(step)
        if step == 2:
            self.guard.enter_context(jax.transfer_guard("disallow"))
        if step == 5:
            self.guard.close()


def test_nothing_is_copied_to_the_devices_unasked_in_the_loop(open_in, tmp_path):
    with open_in(tmp_path, experiment(checkpoint_every=100, total_steps=6)) as run:
        state, watchdog = starting_point(run), GuardsTransfers(0, run.log.write)
        with watchdog.guard:
            train_loop(dataclasses.replace(run, watchdog=watchdog), state)
