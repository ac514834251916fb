"""The adapter for lm-evaluation-harness: over a small random model against full forward passes, and
over a real one against the harness' own backend.
"""

import json
import os
import shutil

import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError, DataError
from tests.helpers.commands import launch, refused
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import logprobs_function, noisy_params

pytest.importorskip("lm_eval")
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402

from hclx.evaluate.lm_eval import HarnessModel  # noqa: E402
from tests.helpers.harness import ROWS, VARIABLES, evaluated_elsewhere, write_kobest  # noqa: E402

CONFIG = ModelConfig(vocab_size=1024, n_layers=1, d_model=32, n_heads=4, max_length=64)
CONTEXT = "오늘 아침에는 비가 내렸고, 낮부터는"
LONG = "대한민국의 수도는 서울이며, 한강이 그 가운데를 흐른다. " * 6


@pytest.fixture(scope="module")
def params():
    return noisy_params(CONFIG)


@pytest.fixture(scope="module")
def tokenizer(tokenizers):
    return tokenizers["train"]


@pytest.fixture(scope="module")
def engine(params, tokenizer):
    with engine_of(params, CONFIG, tokenizer, rows=4, prefix_tokens=256) as engine:
        yield engine


@pytest.fixture(scope="module")
def logprobs_of(params):
    return logprobs_function(params, CONFIG)


@pytest.fixture
def adapter(engine, tokenizer):
    return lambda **options: HarnessModel(
        engine=engine, tokenizer=tokenizer, **{"max_length": CONFIG.max_length, **options}
    )


def asking(kind, *arguments):
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def expected_score(logprobs_of, context, continuation):
    """The sum of log-probabilities of ids behind others, and whether each is the likeliest."""
    rows = logprobs_of([*context, *continuation[:-1]])[len(context) - 1 :]
    is_greedy = all(row.argmax() == token for row, token in zip(rows, continuation))
    return sum(row[token] for row, token in zip(rows, continuation)), is_greedy


def check_scores(answers, expected):
    np.testing.assert_allclose([a[0] for a in answers], [e[0] for e in expected], atol=1e-3)
    assert [a[1] for a in answers] == [e[1] for e in expected]


def test_the_harness_knows_the_model_and_gives_it_what_it_gives_to_all(tmp_path):
    assert get_model("hclx") is HarnessModel
    of_all = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}
    with pytest.raises(DataError, match="no.such.run"):
        HarnessModel.create_from_arg_obj({"model_dir": str(tmp_path / "no_such_run")}, of_all)


@pytest.mark.parametrize("begins", [None, True, False])
def test_log_likelihoods_are_those_of_full_forward_passes(adapter, tokenizer, logprobs_of, begins):
    begin = [] if begins is False else list(tokenizer.begin_ids)
    pairs, expected = [], []
    for context in (CONTEXT, CONTEXT + "  ", LONG):
        for continuation in (" 맑게 개었다.", " 눈이 왔다."):
            pairs.append((context, continuation))
            n_context = len(tokenizer.encode(context.rstrip()))
            ids = tokenizer.encode(context + continuation)
            # Of the last 65 tokens the model reads all but the last.
            own, scored = [*begin, *ids[:n_context]], ids[n_context:]
            expected.append(expected_score(logprobs_of, own[len(scored) - 65 :], scored))
    pairs.append(("", CONTEXT))
    expected.append(
        expected_score(logprobs_of, tokenizer.begin_ids[-1:], tokenizer.encode(CONTEXT))
    )
    model = adapter(add_bos_token=begins)
    check_scores(model.loglikelihood([asking("loglikelihood", *p) for p in pairs]), expected)


def test_each_token_of_a_long_text_is_scored_once(adapter, tokenizer, logprobs_of):
    model, prefix = adapter(add_bos_token=False, max_length=16), tokenizer.begin_ids[-1]
    texts, expected = [LONG, CONTEXT, LONG[:30]], []
    for text in texts:
        ids, total = tokenizer.encode(text), 0.0
        for begin in range(0, len(ids), 16):
            end = min(begin + 16, len(ids))
            context = [prefix] if begin == 0 else ids[max(0, end - 17) : begin]
            total += expected_score(logprobs_of, context, ids[begin:end])[0]
        expected.append(total)
    assert len(tokenizer.encode(LONG)) > 40
    requests = [asking("loglikelihood_rolling", text) for text in texts]
    np.testing.assert_allclose(model.loglikelihood_rolling(requests), expected, atol=2e-3)


def test_texts_are_greedy_and_end_at_a_stop_text(adapter, tokenizer, logprobs_of):
    model = adapter(add_bos_token=False)
    sayable = np.flatnonzero(tokenizer.token_bytes() > 0)
    ids, new = tokenizer.encode(LONG)[-(CONFIG.max_length - 12) :], []
    while len(new) < 12:
        new.append(int(sayable[logprobs_of([*ids, *new])[-1][sayable].argmax()]))
    text = tokenizer.decode(new)
    settings = {"max_gen_toks": 12, "do_sample": False, "until": []}
    stop = text[len(text) // 2 :][:3]
    requests = [
        asking("generate_until", LONG, settings),
        asking("generate_until", LONG, {**settings, "until": [stop, "", "\n\n\n"]}),
    ]
    whole, stopped = model.generate_until(requests)
    eod = tokenizer.eod_id
    if logprobs_of([*ids, *new])[len(ids) - 1 :, eod].max() < 0:  # else it may end before
        assert text.startswith(whole) and whole
    assert stopped == whole.split(stop)[0]


def test_sampled_texts_differ_and_come_again(adapter):
    settings = {"max_gen_toks": 12, "do_sample": True, "temperature": 1.0, "top_k": 50}
    requests = [asking("generate_until", CONTEXT, settings)] * 4
    first = adapter(seed=3).generate_until(requests)
    assert len(set(first)) == 4 and adapter(seed=3).generate_until(requests) == first


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"num_beams": 4},
            r"--gen_kwargs has \{'num_beams': 4\}, which the engine has not; it has",
        ),
        ({"max_gen_toks": 64}, "max_gen_toks=64 leaves no room for a prompt"),
        ({"do_sample": True, "temperature": -1.0}, "temperature=-1.0 is out of range"),
    ],
)
def test_settings_that_the_engine_has_not_are_refused(adapter, settings, message):
    with pytest.raises(ConfigError, match=message):
        adapter().generate_until([asking("generate_until", CONTEXT, settings)])


def test_what_has_no_answer_is_refused(adapter, engine, tokenizer):
    with pytest.raises(ConfigError, match="a continuation has .* tokens, and the model reads 16"):
        adapter(max_length=16).loglikelihood([asking("loglikelihood", CONTEXT, LONG)])
    with pytest.raises(ConfigError, match="the tokenizer has no template of chats"):
        adapter().apply_chat_template([{"role": "user", "content": "안녕"}])
    with pytest.raises(ConfigError, match="give model_dir, the folder of a run"):
        HarnessModel()
    with pytest.raises(ConfigError, match="needs the model's tokenizer and max_length"):
        HarnessModel(engine=engine, tokenizer=tokenizer)
    with pytest.raises(ConfigError):
        HarnessModel(model_dir="/no/such/run", engine=engine)


def test_chats_are_written_and_read_as_transformers_does(engine, tmp_path):
    transformers = pytest.importorskip("transformers")
    foreign = pytest.importorskip("hclx.text.foreign_tokenizer")
    from tests.helpers.foreign_tokenizers import save_tokenizer

    template = (
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    names = {"bos_token": "<|begin_of_text|>", "add_bos_token": True, "chat_template": template}
    save_tokenizer("GPT-2", tmp_path, **names)
    model = HarnessModel(engine=engine, tokenizer=foreign.ForeignTokenizer(tmp_path), max_length=64)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": "오늘 아침에는?"}]
    text = model.apply_chat_template(chat)
    assert text == "<|begin_of_text|>user: 오늘 아침에는?<|endoftext|>assistant:"
    assert model.chat_template(True) == template and model.tokenizer_name
    ids = model.tok_encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False) and ids.count(ids[0]) == 1
    answered = [*chat, {"role": "assistant", "content": "비가"}]
    assert model.apply_chat_template(answered, add_generation_prompt=False).endswith("비가")


@pytest.mark.long
def test_the_command_tells_what_is_wrong_in_a_line(data_dir, tmp_path):
    write_kobest(data_dir / "tasks" / "kobest", tmp_path)
    options = ("--tasks=local_kobest_sentineg", f"--include_path={tmp_path}", "--limit=2")
    model = ("--model=hclx", f"--model_args=model_dir={tmp_path}/no_such_run")
    result = launch("lm_eval.py", "run", *model, *options, variables=VARIABLES)
    assert "no_such_run/config.json does not exist" in refused(result, 65)


@pytest.fixture(scope="module")
def real_model(tmp_path_factory):
    """A run of a real decoder, and the folder that it is exported to."""
    if not os.environ.get("HCLX_MODEL_DIR"):
        pytest.skip("HCLX_MODEL_DIR is not set: it names a Korean decoder of transformers")
    from hclx.convert.exporting import export_model
    from hclx.convert.importing import import_model

    folder = tmp_path_factory.mktemp("model")
    import_model(os.environ["HCLX_MODEL_DIR"], folder / "run")
    export_model(folder / "run", folder / "exported")
    return folder / "run", folder / "exported"


@pytest.mark.long
@pytest.mark.parametrize("begins", [False, True], ids=["without BOS", "with BOS"])
def test_kobest_is_what_the_harness_finds_by_transformers(real_model, data_dir, tmp_path, begins):
    """200 items of each task, joined by the hashes of prompt and target."""
    pytest.importorskip("accelerate")  # of its own backend
    run, exported = real_model
    include = tmp_path / "tasks"
    include.mkdir()
    tasks = write_kobest(data_dir / "tasks" / "kobest", include)
    same = {"tasks": tasks, "include": str(include), "limit": 200}
    theirs = {
        "pretrained": str(exported),
        "tokenizer": _with_beginning(exported, tmp_path / "tokenizer", begins),
        "dtype": "float32",
        "device": "cpu",
        "add_bos_token": begins,
    }
    ours = {"model_dir": str(run), "dtype": "float32", "add_bos_token": begins}
    found = evaluated_elsewhere(tmp_path / "hclx.json", model="hclx", model_args=ours, **same)
    oracle = evaluated_elsewhere(tmp_path / "hf.json", model="hf", model_args=theirs, **same)
    assert set(found) == set(oracle) == {f"local_kobest_{task}" for task in ROWS}
    for task in tasks:
        samples, others = (_by_hashes(results[task]) for results in (found, oracle))
        assert len(samples) == 200 and samples.keys() == others.keys()
        for key, sample in samples.items():
            pairs = np.array([sample["filtered_resps"], others[key]["filtered_resps"]])
            np.testing.assert_allclose(pairs[0, :, 0], pairs[1, :, 0], atol=1e-4, err_msg=str(key))
        accuracies = [results[task]["metrics"]["acc,none"] for results in (found, oracle)]
        assert accuracies[0] == accuracies[1], task


def _by_hashes(results):
    keys = ("doc_id", "prompt_hash", "target_hash")
    return {tuple(sample[key] for key in keys): sample for sample in results["samples"]}


def _with_beginning(exported, folder, begins):
    """The tokenizer of a folder, which says whether texts begin with the end of a document."""
    folder.mkdir()
    shutil.copy(exported / "tokenizer.json", folder)
    config = json.loads((exported / "tokenizer_config.json").read_text())
    config = {**config, "bos_token": config["eos_token"], "add_bos_token": begins}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return str(folder)
