"""The folder of a run, its metrics, its clock, its figures."""

import dataclasses
import functools
import json
import math
import os
import resource
import signal
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.profiler import ProfileData

from hclx.config import MeshConfig, ModelConfig, TokenizerConfig
from hclx.errors import ConfigError, DataError, NumericsError
from hclx.model import n_params
from hclx.parallel import make_mesh
from hclx.train import flops, timing
from hclx.train.events import EventLog, read_events
from hclx.train.flops import flops_per_token, model_flops_utilisation, peak_flops
from hclx.train.goodput import write_goodput
from hclx.train.messages import changes_in_words, ending, summary
from hclx.train.metrics_logger import MetricsLogger
from hclx.train.metrics_writer import MetricsWriter, read_metrics
from hclx.train.optimizer import learning_rate_schedule
from hclx.train.preemption import StopSignal, refuse_stop_file
from hclx.train.pretrain import end_if_diverged
from hclx.train.profiler import StepProfiler, parse_steps
from hclx.train.run_changes import changes_of, refuse_unasked_changes
from hclx.train.run_dir import check_configuration, claim_folder, describe_run, read_run
from hclx.train.step_selection import BestStep
from hclx.train.timing import StepClock
from tests.helpers.meshes import ONE, experiment
from tests.helpers.sizes import SIZES

HASHES = {"vocabulary": "a", "text": "b"}


class TestFolder:
    @pytest.fixture(autouse=True)
    def begun(self, tmp_path):
        """A run with a checkpoint: its configuration is held."""
        (tmp_path / "checkpoints" / "1").mkdir(parents=True)

    def test_before_the_first_checkpoint_the_configuration_may_change(self, tmp_path):
        checkpoint = tmp_path / "checkpoints" / "1"
        checkpoint.rename(checkpoint.with_name("1.orbax-checkpoint-tmp"))  # an unfinished save
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        other = experiment(ONE, seed=1, global_batch_size=32)
        check_configuration(tmp_path, other)
        refuse_unasked_changes(tmp_path, other, allow_changes=False)
        claim_folder(tmp_path, describe_run(other, "t", HASHES | {"text": "c"}))
        content = json.loads((tmp_path / "config.json").read_text())
        assert content["config"]["train"]["seed"] == 1 and content["hashes"]["text"] == "c"
        (tmp_path / "checkpoints" / "1.corrupt-2026").mkdir()
        with pytest.raises(ConfigError, match="another configuration.*train.seed: 1 there, 0 now"):
            check_configuration(tmp_path, experiment(ONE))

    def test_a_batch_or_precision_that_nobody_asked_to_change_is_refused(self, tmp_path):
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        refuse_unasked_changes(tmp_path, experiment(ONE, total_steps=99), allow_changes=False)
        compute = dataclasses.replace(experiment(ONE).compute, dtype="bfloat16")
        for other, message in (
            (experiment(ONE, global_batch_size=32), "train.global_batch_size: 16 there, 32 now"),
            (
                dataclasses.replace(experiment(ONE), compute=compute),
                "compute.dtype: 'float32' there, 'bfloat16' now",
            ),
        ):
            with pytest.raises(ConfigError, match=f"{message}.*--allow_changes"):
                refuse_unasked_changes(tmp_path, other, allow_changes=False)
            refuse_unasked_changes(tmp_path, other, allow_changes=True)

    def test_every_change_is_told_and_what_it_does_to_the_learning_rate(self, tmp_path):
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        before = experiment(ONE).train.total_steps
        other = experiment(ONE, total_steps=4 * before, log_every=7)
        changes = changes_of(tmp_path, other)
        length, logged, rate = changes_in_words(changes, other, tmp_path, before)
        assert length == f"changed: train.total_steps {before} -> {4 * before}"
        assert logged.startswith("changed: train.log_every") and logged.endswith("-> 7")
        schedule = lambda total: learning_rate_schedule(other.optimizer, total)
        was, now = schedule(before)(before - 1), schedule(4 * before)(before)
        assert f"ends at step {4 * before}: it was {was:.3g} at step {before}" in rate
        assert rate.endswith(f"is {now:.3g} at step {before + 1}")

    def test_the_same_run_may_go_on(self, tmp_path):
        run = describe_run(experiment(ONE), "tokenizer", HASHES)
        assert claim_folder(tmp_path, run) == [] == claim_folder(tmp_path, run)
        content = json.loads((tmp_path / "config.json").read_text())
        assert content["config"]["model"]["d_model"] == 64 and content["hashes"] == HASHES
        assert {"jax", "orbax-checkpoint", "python"} <= set(content["versions"])

    def test_a_run_that_is_moved_finds_its_tokenizer(self, tmp_path):
        run, old, moved = tmp_path / "run", tmp_path / "old", tmp_path / "moved"
        for folder in (run, old):
            (folder / "tokenizer").mkdir(parents=True)
            claim_folder(folder, describe_run(experiment(ONE), str(folder / "tokenizer"), HASHES))
        config = json.loads((old / "config.json").read_text())
        assert config["tokenizer_dir"] == "tokenizer"
        config["tokenizer_dir"] = str(old / "tokenizer")  # as it was written before
        (old / "config.json").write_text(json.dumps(config))
        for folder in (run, old):
            assert read_run(folder)[1] == str(folder / "tokenizer")
            folder.rename(moved)
            assert read_run(moved)[1] == str(moved / "tokenizer")
            moved.rename(tmp_path / f"{folder.name}.done")
        elsewhere = tmp_path / "elsewhere"
        claim_folder(run, describe_run(experiment(ONE), str(elsewhere), HASHES))
        assert read_run(run)[1] == str(elsewhere)  # whose absence is told where it is opened

    def test_a_tokenizer_that_was_moved_is_found_after_a_start_that_trains_nothing(self, tmp_path):
        old, new = tmp_path / "old", tmp_path / "new"
        old.mkdir()
        longer = experiment(ONE, total_steps=99)
        claim_folder(tmp_path, describe_run(experiment(ONE), str(old), HASHES))
        claim_folder(tmp_path, describe_run(longer, str(new), HASHES))
        assert read_run(tmp_path) == (experiment(ONE), str(old))
        old.rename(new)
        claim_folder(tmp_path, describe_run(longer, str(new), HASHES))
        assert read_run(tmp_path) == (experiment(ONE), str(new))

    def test_what_decides_the_numbers_is_held_and_named(self, tmp_path):
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        with pytest.raises(ConfigError, match="another configuration.*train.seed: 0 there, 1 now"):
            check_configuration(tmp_path, experiment(ONE, seed=1))
        advice = "give --gin.TrainConfig.seed=0 to go on with it, or choose another --model_dir"
        with pytest.raises(ConfigError, match=advice):
            check_configuration(tmp_path, experiment(ONE, seed=1))
        wider = dataclasses.replace(
            experiment(ONE), model=dataclasses.replace(experiment(ONE).model, d_model=128)
        )
        with pytest.raises(ConfigError, match="model.d_model: 64 there, 128 now"):
            claim_folder(tmp_path, describe_run(wider, "t", HASHES))

    def test_mesh_length_and_habits_may_change(self, tmp_path):
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        other = experiment(
            MeshConfig(fsdp=8),
            total_steps=99,
            log_every=3,
            eval_every=7,
            checkpoint_every=7,
            keep_best=2,
            global_batch_size=32,
        )
        check_configuration(tmp_path, other)
        changes = claim_folder(tmp_path, describe_run(other, "t", HASHES))
        assert "train.global_batch_size: 16 -> 32" in changes and "mesh.fsdp: 1 -> 8" in changes

    def test_a_run_older_than_a_field_goes_on_with_its_default_and_nothing_else(self, tmp_path):
        run = describe_run(experiment(ONE), "t", HASHES)
        for section, field in (("model", "qk_norm"), ("train", "z_loss"), ("train", "keep_best")):
            del run["config"][section][field]
        claim_folder(tmp_path, run)
        check_configuration(tmp_path, experiment(ONE))
        with pytest.raises(ConfigError, match="train.z_loss: 0.0 there, 0.0001 now"):
            check_configuration(tmp_path, experiment(ONE, z_loss=1e-4))

    def test_a_run_of_an_old_name_of_a_field_is_the_same_run(self, tmp_path):
        run = describe_run(experiment(ONE), "t", HASHES)
        run["config"]["tokenizer"] = {"mode": "encode", "sample_rate": 1.0, "seed": 0}
        claim_folder(tmp_path, run)
        changes = lambda morphemes: claim_folder(
            tmp_path,
            describe_run(
                dataclasses.replace(experiment(ONE), tokenizer=TokenizerConfig(morphemes)),
                "t",
                HASHES,
            ),
            write=False,
        )
        assert changes("merges_and_text") == []
        assert changes("merges") == ["tokenizer.morphemes: 'merges_and_text' -> 'merges'"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "Expecting property name"),
            (b"", "Expecting value"),
            (b"{}", "field 'config' is missing"),
            (b"[]", "it holds list, and not an object"),
            (b"\xff\xfe", "'utf-8' codec can't decode"),
            ({"model": None}, "section 'model' of the configuration is missing"),
            ({"model.d_modle": 3}, "ModelConfig.d_modle is unknown"),
            ({"model.d_model": None}, "ModelConfig.d_model is missing"),
            ({"model.d_model": "wide"}, "ModelConfig.d_model must be int, got 'wide'"),
            ({"train.z_loss": math.nan}, "TrainConfig.z_loss=nan is not a finite"),
        ],
    )
    def test_a_damaged_description_is_one_line_of_what_is_wrong(self, content, message, tmp_path):
        if isinstance(content, dict):
            run, ((name, value),) = describe_run(experiment(ONE), "t", HASHES), content.items()
            *parents, last = ("config", *name.split("."))
            holder = functools.reduce(dict.__getitem__, parents, run)
            holder[last] = value
            if value is None:
                del holder[last]
            content = json.dumps(run).encode()
        (tmp_path / "config.json").write_bytes(content)
        run = describe_run(experiment(ONE), "t", HASHES)
        for read in (
            lambda: read_run(tmp_path),
            lambda: check_configuration(tmp_path, experiment(ONE)),
            lambda: claim_folder(tmp_path, run),
        ):
            with pytest.raises(DataError) as error:
                read()
            text = str(error.value)
            assert text.startswith(f"{tmp_path / 'config.json'} does not describe a run: ")
            assert message in text and "put the file back from a copy" in text
            assert "\n" not in text

    def test_sections_that_do_not_fit_each_other_are_a_damaged_description(self, tmp_path):
        run = describe_run(experiment(ONE), "t", HASHES)
        run["config"]["model"]["max_length"] = 32
        claim_folder(tmp_path, run)
        with pytest.raises(DataError, match="sequence_length=64 is longer than .*put the file"):
            read_run(tmp_path)

    def test_other_text_or_vocabulary_is_refused(self, tmp_path):
        claim_folder(tmp_path, describe_run(experiment(ONE), "t", HASHES))
        with pytest.raises(DataError, match="trained with another vocabulary"):
            claim_folder(
                tmp_path, describe_run(experiment(ONE), "t", {**HASHES, "vocabulary": "z"})
            )


class TestMetrics:
    @pytest.mark.parametrize(
        "line", [b"{", b"[]", b"\xff", bytes(40), b'{"step" 2}', b'{"loss": 1}', b'{"step": "2"}']
    )
    def test_a_line_that_is_no_record_is_left_out_with_one_warning(self, line, tmp_path, caplog):
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(b'{"step": 1}\n' + line + b"\n" + line + b'\n{"step": 3}\n')
        assert read_metrics(tmp_path) == [{"step": 1}, {"step": 3}]
        (warning,) = caplog.messages
        assert "metrics.jsonl: line 2 is damaged and left out" in warning and "1 more" in warning
        MetricsWriter(tmp_path, resume_step=2).close()
        assert path.read_bytes() == b'{"step": 1}\n'

    @pytest.mark.parametrize(
        "line",
        [
            b"\xff",
            b"[]",
            b'{"time": "2026-01-01T00:00:00+00:00", "process": 0}',
            b'{"time": "now", "event": "save", "process": 0}',
            b'{"time": "2026-01-01T00:00:00", "event": "save", "process": 0}',
        ],
    )
    def test_a_line_that_is_no_event_is_left_out(self, line, tmp_path, caplog):
        EventLog(tmp_path).write("start")
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(line + b"\n")
        EventLog(tmp_path).write("exit", code=0, step=4)
        assert [event["event"] for event in read_events(tmp_path)] == ["start", "exit"]
        assert len(caplog.messages) == 1 and write_goodput(tmp_path).startswith("goodput ")

    def test_an_event_with_another_value_than_it_has_never_ends_a_run(self, tmp_path, caplog):
        EventLog(tmp_path).write("start", seconds="soon")
        assert write_goodput(tmp_path) == "goodput unknown"
        assert "cannot compute the goodput" in caplog.text

    def test_records_are_kept_to_the_last_digit(self, tmp_path):
        writer = MetricsWriter(tmp_path)
        record = {"step": 1, "loss": 0.1 + 0.2, "note": "글", "mfu": None}
        writer.write(record)
        writer.close()
        assert read_metrics(tmp_path) == [record]

    def test_a_resumed_run_drops_what_came_after_its_step(self, tmp_path):
        writer = MetricsWriter(tmp_path)
        for step in (1, 2, 3):
            writer.write({"step": step, "loss": 1.0})
        writer.close()
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 4, "lo')  # killed in the middle of a line
        assert [r["step"] for r in read_metrics(tmp_path)] == [1, 2, 3]
        writer = MetricsWriter(tmp_path, resume_step=2)
        writer.write({"step": 3, "loss": 2.0})
        writer.close()
        assert read_metrics(tmp_path) == [
            {"step": 1, "loss": 1.0},
            {"step": 2, "loss": 1.0},
            {"step": 3, "loss": 2.0},
        ]

    def test_a_full_disk_is_a_warning_and_nothing_waits(self, tmp_path, caplog):
        """As a full disk: files may not grow. What could not be written is written later."""
        writer, record = MetricsWriter(tmp_path), {f"metric_{i}": 0.1 for i in range(20)}
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
        try:
            for step in range(1, 100):
                writer.write({"step": step, **record})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert len(caplog.messages) == 2
        assert "metrics.jsonl: File too large; it is tried again" in caplog.text
        assert "TensorBoard gets no more from this start: File too large" in caplog.text
        writer.write({"step": 100})
        writer.close()
        assert [record["step"] for record in read_metrics(tmp_path)] == list(range(1, 101))

    def test_tensorboard_reads_the_files_in_the_order_of_the_starts(self, tmp_path, monkeypatch):
        """It reads them by their names, also where the clock was set back."""
        folder, made = tmp_path / "tensorboard", []
        for now, steps in ((5e9, range(1, 31)), (4e9, range(21, 41)), (3e9, range(36, 51))):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            writer = MetricsWriter(tmp_path, steps[0] - 1)
            for step in steps:
                writer.write({"step": step, "loss": step + now, "note": "x"})
            writer.close()
            made += {path.name for path in folder.iterdir()} - {*made}
        assert len(made) == 3 and made == sorted(made)

    def test_the_clock_leaves_out_what_is_not_training(self):
        clock = StepClock()
        clock.tick()
        assert clock.lap() is None
        for _ in range(2):
            time.sleep(0.02)
            clock.tick()
        with clock.paused("saving"):
            time.sleep(1.0)
        assert 0.015 < clock.lap()["step_time"] < 0.3
        assert list(clock.spent) == ["saving"] and 1.0 <= clock.spent["saving"] < 1.3

    def test_the_clock_splits_a_step_into_its_parts(self, monkeypatch):
        now = 0.0
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now))
        clock = StepClock()
        clock.lap()
        for _ in range(4):
            for name, seconds in (("data", 1), ("dispatch", 2), ("device", 3), ("logging", 4)):
                with clock.part(name):
                    now += seconds
            now += 5  # of none of these
            clock.tick()
        with clock.paused("evaluation"):
            now += 100
        assert clock.lap() == {
            "step_time": 15,
            "data_time": 1,
            "dispatch_time": 2,
            "device_time": 3,
            "logging_time": 4,
        }
        now += 6
        clock.tick()
        assert clock.lap() == {
            "step_time": 6,
            "data_time": 0,
            "dispatch_time": 0,
            "device_time": 0,
            "logging_time": 0,
        }


class TestProfiler:
    def test_which_steps(self):
        assert parse_steps("") is None
        assert parse_steps("3:4") == (3, 4) and parse_steps("7:7") == (7, 7)

    @pytest.mark.parametrize("text", ["3", "4:3", "0:2", "a:b", "3:4:5", "-1:2"])
    def test_what_is_no_range_is_refused(self, text):
        with pytest.raises(ConfigError, match=f"--profile_steps={text} is not first:last"):
            parse_steps(text)

    @pytest.mark.parametrize(("first", "last"), [(3, 4), (3, 99), (1, 2)])
    def test_a_trace_holds_the_steps_asked_for(self, tmp_path, first, last):
        state = jnp.zeros(())
        with StepProfiler(tmp_path, (first, last)) as profiler:
            profiler.after(0, state)
            for step in range(1, 7):
                with jax.profiler.StepTraceAnnotation("train", step_num=step):
                    state = state + 1
                profiler.after(step, state)
        (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
        events = (
            e
            for plane in ProfileData.from_file(str(trace)).planes
            for line in plane.lines
            for e in line.events
        )
        traced = {dict(event.stats)["step_num"] for event in events if event.name == "train"}
        assert traced == set(range(first, min(last, 6) + 1))

    def test_nothing_asked_for_leaves_nothing(self, tmp_path, caplog):
        with StepProfiler(tmp_path, None) as profiler:
            profiler.after(1, ())
        assert not list(tmp_path.iterdir()) and not caplog.messages

    def test_steps_that_the_run_does_not_take_are_said(self, tmp_path, caplog):
        with StepProfiler(tmp_path, (7, 9)) as profiler:
            profiler.after(1, ())
        assert caplog.messages == [
            "profile: the run took none of the steps 7 to 9, so there is no trace"
        ]


class TestMetricsLogger:
    def logger(self, folder):
        self.events = []
        return MetricsLogger(
            folder,
            experiment(ONE, log_every=2, total_steps=9),
            0,
            StepClock(),
            event=lambda event, **fields: self.events.append((event, fields)),
        )

    def metrics(self, loss, skipped=0, in_a_row=0):
        skipped = {"skipped": jnp.int32(skipped), "skipped_in_a_row": jnp.int32(in_a_row)}
        return {
            "loss": jnp.float32(loss),
            "grad_norm": jnp.float32(1.0),
            "learning_rate": jnp.float32(0.1),
        } | skipped

    def test_logged_steps_and_fields(self, tmp_path, caplog):
        caplog.set_level("INFO", logger="hclx")
        with self.logger(tmp_path) as logger:
            for step in range(1, 10):
                logger.report(
                    step, self.metrics(step), np.arange(16 * step - 16, 16 * step), 16 * step
                )
                if step == 5:
                    logger.add({"bits_per_byte": 2.0, "validation_loss": 3.0})
            assert logger.flush().step == 9 and logger.flush() is None
        records = read_metrics(tmp_path)
        assert [r["step"] for r in records] == [1, 2, 4, 5, 6, 8, 9]
        assert [r["loss"] for r in records] == [r["step"] for r in records]
        assert [r["step"] for r in records if "bits_per_byte" in r] == [5]
        said = [line for line in caplog.messages if "validation loss" in line]
        assert said == ["step 5: validation loss 3.0000, 2.0000 bits a byte"]
        expected_keys = {
            "step",
            "loss",
            "grad_norm",
            "learning_rate",
            "tokens_seen",
            "tokens_per_second",
            "mfu",
            "mfu_formula",
            "step_time",
        }
        assert (
            all(expected_keys <= set(r) for r in records)
            and records[1]["tokens_seen"] == 2 * 16 * 64
        )
        assert list((tmp_path / "tensorboard").iterdir())

    def test_a_skipped_step_names_examples_by_the_numbers_that_a_rewind_takes(self, tmp_path):
        with self.logger(tmp_path) as logger:
            logger.report(1, self.metrics(math.nan, 1, 1), np.array([5, 9, 10]), 3)
            logger.flush()
        assert (
            self.events[-1][1]["examples"] == [5, 11]
            and read_metrics(tmp_path)[0]["examples_seen"] == 3
        )

    @pytest.mark.parametrize(
        ("value", "kind", "why"),
        [
            (math.nan, "skip", "not finite"),
            (math.inf, "skip", "not finite"),
            (40.0, "spike", "spike"),
        ],
    )
    def test_a_skipped_step_is_an_event_and_too_many_end_the_run(self, tmp_path, value, kind, why):
        with self.logger(tmp_path) as logger:
            for step in range(1, 9):
                examples = np.arange(16 * step - 16, 16 * step)
                end_if_diverged(
                    logger.report(step, self.metrics(value, step, step), examples, 16 * step), 8
                )
            with pytest.raises(
                NumericsError,
                match=f"step 8 was skipped .{why}.*examples 112 to 127, the 8th in a row",
            ):
                end_if_diverged(logger.flush(), 8)
        kinds, loss = [event for event, _ in self.events], value if math.isfinite(value) else None
        assert kinds == ["first_step", *[kind] * 8] and self.events[3][1]["examples"] == [32, 48]
        assert self.events[3][1]["loss"] == (str(value) if loss is None else value)
        assert [(r["step"], r["loss"], r["skipped"]) for r in read_metrics(tmp_path)] == [
            (s, loss, s) for s in (1, 2, 4, 6, 8)
        ]


def test_stop_signal_is_seen_between_steps_and_the_old_handler_comes_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal(make_mesh(MeshConfig()), tmp_path, True) as stop:
        assert not stop.requested and not stop.agreed()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == "SIGTERM" and stop.agreed()
        os.kill(os.getpid(), signal.SIGTERM)  # once more, while it saves
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert not stop.by_file()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_closed_terminal_is_a_request_to_stop_unless_it_is_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with StopSignal(make_mesh(MeshConfig()), tmp_path, True) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested == "SIGHUP"
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with StopSignal(make_mesh(MeshConfig()), tmp_path, True) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_file_stops_the_run_and_keeps_it_from_starting_again(tmp_path):
    with StopSignal(make_mesh(MeshConfig()), tmp_path, True) as stop:
        assert not stop.agreed()
        (tmp_path / "STOP").touch()
        deadline = time.monotonic() + 5
        while not stop.agreed():
            assert time.monotonic() < deadline
        assert stop.by_file()
    with pytest.raises(ConfigError, match="STOP exists"):
        refuse_stop_file(tmp_path)
    (tmp_path / "STOP").unlink()
    refuse_stop_file(tmp_path)


def test_flops_a_token_against_a_count_of_every_product():
    """Two FLOPs a multiplication and addition, once forward and twice backward, and half of
    attention's square.
    """
    model, t = ModelConfig(vocab_size=1000, n_layers=3, d_model=64, n_heads=4, max_length=128), 128
    products = 3 * (64 * 192 + 64 * 64 + 2 * 64 * 256) + 1000 * 64
    attention = 3 * 2 * (t / 2) * 64
    assert flops_per_token(model, t) == 3 * 2 * (products + attention)
    assert flops_per_token(SIZES["82b"], 2048) == pytest.approx(
        6 * n_params(SIZES["82b"]), rel=0.05
    )


def test_a_gpu_that_is_not_in_the_table_has_no_mfu(monkeypatch):
    device = SimpleNamespace(platform="gpu", device_kind="NVIDIA L4")
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(flops, "peak_flops", flops.peak_flops.__wrapped__)  # without its cache
    assert flops.peak_flops("bfloat16") == (None, "unknown peak of NVIDIA L4")
    assert model_flops_utilisation(SIZES["137m"], 128, "bfloat16", 1e6) is None


def test_mfu_is_a_share_of_the_measured_peak():
    model = ModelConfig(vocab_size=1000, n_layers=3, d_model=64, n_heads=4, max_length=128)
    peak, source = peak_flops("float32")
    assert 1e8 < peak < 1e13 and "measured" in source
    full_speed = peak * 8 / flops_per_token(model, 128)
    assert model_flops_utilisation(model, 128, "float32", full_speed) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "share, reads", [(0.25, "25% of the text"), (1.0, "the text 1.0 times"), (375, "375.0 times")]
)
def test_the_first_lines_say_how_often_the_text_is_read(share, reads):
    train = experiment(ONE).train
    tokens = train.total_steps * train.global_batch_size * train.sequence_length
    cache = SimpleNamespace(
        manifest={"mixture": "blogs"}, n_tokens=lambda split: {"train": tokens / share}[split]
    )
    first, second = summary(experiment(ONE), make_mesh(ONE, jax.devices()[:1]), cache).split("\n")
    assert first.startswith("model: ") and second.startswith("data: blogs, ")
    assert second.endswith(reads) and " · this run reads " in second


@pytest.mark.parametrize(
    "step, text",
    [
        (40, "done: step 40, checkpoint in run/checkpoints/40"),
        (30, "stopped by run/STOP: step 30, checkpoint in run/checkpoints/30"),
        (60, "nothing to do: TrainConfig.total_steps=40 lies before step 60, checkpoint in run/"),
    ],
)
def test_the_last_line_says_how_a_run_ended(step, text):
    run = SimpleNamespace(
        experiment=experiment(ONE, total_steps=40),
        model_dir="run",
        parts=SimpleNamespace(selection=None),
        progress=SimpleNamespace(step=step, best=BestStep()),
        ends_early=False,
    )
    assert ending(run).startswith(text)
