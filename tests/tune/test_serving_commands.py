"""Artefacts of a run in commands: what tuning trained is evaluated and generates."""

import json

import jax
import numpy as np
import pytest

from hclx.config import ComputeConfig
from hclx.errors import ConfigError, DataError
from hclx.evaluate.answering import score_choices
from hclx.evaluate.item_prompts import item_prompts, reader_of
from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec
from hclx.infer.model_source import RunFolder, model_source
from hclx.prompts import prompt_from_json
from hclx.text import load_tokenizer
from hclx.train.checkpoint import Checkpointer
from hclx.train.run_dir import read_run
from hclx.train.state import merge
from hclx.tune import TuneConfig, begin, make_tuned_token_losses
from hclx.tune.artefact import Artefact, base_fingerprint, write_artefact
from hclx.tune.examples import choice_examples
from hclx.tune.serving import read_artefacts
from tests.helpers.commands import launch, refused
from tests.helpers.tuning import noisy, plain_batch
from tests.helpers.tuning_runs import PROMPT, labelled_rows, write_base, write_rows

CONFIGS = {
    "soft": TuneConfig(kind="prompt_tune", length=4, init="random"),
    "prefix": TuneConfig(kind="prefix_tune", length=5, init="random"),
    "lora": TuneConfig(kind="lora", rank=2),
}
INPUTS = {"before": PROMPT["input"], "within": "글: {soft}{text}\n{soft}평: "}


class Place:
    """A base with artefacts, whose parameters are drawn at random."""

    def __init__(self, folder, tokenizer_dir):
        self.folder, self.base = folder, write_base(folder / "base", tokenizer_dir)
        self.model = read_run(self.base)[0].model
        self.tokenizer = load_tokenizer(tokenizer_dir)
        with Checkpointer(self.base, read_only=True) as checkpointer:
            self.params, meta = checkpointer.restore_params(self._abstract())
        self.trained = {}
        for name, config in CONFIGS.items():
            self.trained[name] = noisy(begin(self.model, config, self.params)[0], std=0.3)
            tune, hashes = self.trained[name]["tune"], meta["hashes"]
            belongs = base_fingerprint(meta["fingerprint"]), hashes["vocabulary"]
            write_artefact(self.file(name), Artefact(config, tune, self.model, *belongs))
            other = Artefact(config, tune, self.model, "0" * 64, hashes["vocabulary"])
            write_artefact(self.file(f"other_{name}"), other)

    def _abstract(self):
        from hclx.model import abstract_params

        place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        put = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
        return jax.tree.map(put, abstract_params(self.model))

    def file(self, name):
        return self.folder / f"{name}.safetensors"

    def source(self, *settings, takes_names=False):
        artefacts = read_artefacts(list(map(str, settings)), takes_names)
        return RunFolder(str(self.base), None, "float32", 4, artefacts=artefacts)

    def choice_totals(self, name, document, fields):
        """The log-probability of each choice, as training computes its loss."""
        config, size = CONFIGS[name], self.model.vocab_size
        slots = range(size, size + config.length) if name == "soft" else ()
        losses = make_tuned_token_losses(
            self.model, ComputeConfig(dtype="float32", attention="xla"), config
        )
        totals = {}
        for key, example in choice_examples(document, fields, self.tokenizer, slots).items():
            targets = np.append(example.weights[1:], 0).astype(np.float32)[None]
            batch = plain_batch(example.tokens[None], targets)
            batch = batch._replace(targets_bt=np.where(targets > 0, batch.targets_bt, 0))
            value = losses(merge(self.trained[name], self.params), batch)
            totals[key] = -float((np.asarray(value) * targets).sum())
        return totals


@pytest.fixture(scope="module")
def place(tmp_path_factory, tokenizer_dirs):
    return Place(tmp_path_factory.mktemp("serving"), tokenizer_dirs["plain"])


@pytest.mark.parametrize(
    "name",
    [name if name == "soft" else pytest.param(name, marks=pytest.mark.long) for name in CONFIGS],
)
def test_an_artefact_is_evaluated_as_it_was_trained(place, name):
    rows = labelled_rows(4)
    items = tuple(Item(str(i), {"text": row["text"]}, row["answer"]) for i, row in enumerate(rows))
    source = place.source(place.file(name))
    with source.open() as engine:
        reader, facts = reader_of(source.reads), source.facts()
        (described,) = facts["artefacts"].values()
        assert (facts["name"], described["kind"]) == (f"base+{name}", CONFIGS[name].kind)
        assert reader.max_length == place.model.max_length - 5 * (name == "prefix")
        for where, template in INPUTS.items():
            if where == "within" and name != "soft":
                continue
            document = prompt_from_json({**PROMPT, "input": template})
            prompts, _ = item_prompts(RunSpec("taste", where, document, items), 0, reader)
            for prompt, scores in zip(prompts, score_choices(engine, prompts), strict=True):
                expected = place.choice_totals(name, document, prompt.item.fields)
                totals = {key: score.total for key, score in scores.items()}
                assert totals == pytest.approx(expected, abs=1e-4)
                assert prompt.text == f"글: {prompt.item.fields['text']}\n평: "


def test_a_prompt_that_is_truncated_keeps_its_soft_slots(place):
    document = prompt_from_json({**PROMPT, "input": INPUTS["within"], "budget": {"tokens": 20}})
    items = (Item("long", {"text": "국이 맑다 " * 30}, "good"),)
    source = place.source(place.file("soft"))
    with source.open():
        (prompt,), _ = item_prompts(
            RunSpec("taste", "within", document, items), 0, reader_of(source.reads)
        )
    size = place.model.vocab_size
    longest = max(map(len, prompt.answer_ids.values()))
    assert prompt.is_truncated and len(prompt.context) == 20 - longest
    slots = [token for token in prompt.context if token >= size]
    assert slots == list(prompt.context[:4]) == [*range(size, size + 4)]


def test_soft_slots_need_a_soft_prompt(place):
    document = prompt_from_json({**PROMPT, "input": "{soft}{text}{soft} {soft}{soft}{soft}"})
    items = (Item("0", {"text": "국"}, "good"),)
    run = RunSpec("taste", "many", document, items)
    source = place.source(place.file("lora"))
    with source.open():
        with pytest.raises(ConfigError, match="no field 'soft'"):
            item_prompts(run, 0, reader_of(source.reads))
    source = place.source(place.file("soft"))
    with source.open():
        with pytest.raises(ConfigError, match="in 5 places, and the soft prompt has 4 slots"):
            item_prompts(run, 0, reader_of(source.reads))


@pytest.mark.long
def test_lines_name_their_artefacts(place, tmp_path):
    names = [None, *CONFIGS]
    lines = [{"prompt": "오늘 아침", **({"artefact": name} if name else {})} for name in names]
    prompts = write_rows(tmp_path / "prompts.jsonl", lines)
    own = (f"--model_dir={place.base}", "--temperature=0", "--max_tokens=6")
    flags = [f"--artefact={name}={place.file(name)}" for name in CONFIGS]
    output = tmp_path / "texts.jsonl"
    result = launch("generate.py", *own, *flags, f"--prompts={prompts}", f"--output={output}")
    assert result.returncode == 0, result.stderr
    written = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line.get("artefact") for line in written] == names
    assert len({line["text"] for line in written}) > 2
    alone = launch("generate.py", *own, f"--artefact={place.file('soft')}", "--prompt=오늘 아침")
    assert written[1]["text"] in alone.stdout and alone.returncode == 0
    settings = json.loads((tmp_path / "texts.jsonl.settings.json").read_text())
    assert settings["artefacts"]["lora"]["kind"] == "lora"
    write_rows(prompts, [*lines, {"prompt": "바다", "artefact": "big"}])
    result = launch("generate.py", *own, *flags, f"--prompts={prompts}", f"--output={output}")
    message = refused(result, 65)
    assert "artefact='big' is not one of those of the command: soft, prefix, lora" in message


def test_artefacts_that_do_not_fit_are_refused(place):
    soft, lora = place.file("soft"), place.file("lora")
    with pytest.raises(ConfigError, match="all texts have one artefact"):
        place.source(soft, lora)
    with pytest.raises(ConfigError, match="all texts have one artefact"):
        place.source(f"a={soft}", f"b={lora}")
    with pytest.raises(ConfigError, match="give FILE or NAME=FILE, and each file and name once"):
        place.source(f"a={soft}", f"a={lora}", takes_names=True)
    with pytest.raises(ConfigError, match="give FILE or NAME=FILE"):
        place.source("a=", takes_names=True)
    with pytest.raises(OSError, match="missing"):
        place.source(place.folder / "missing")
    server = None, None, None, "http://localhost:9", None, 1, 0
    with pytest.raises(ConfigError, match="--artefact=a does not go with --engine: a server has"):
        model_source(*server, read_artefacts([f"a={soft}"], True))
    with pytest.raises(DataError, match="other_lora.safetensors was tuned on another base"):
        place.source(place.file("other_lora")).open()
