"""lm-evaluation-harness as a client, unmodified: its scores over HTTP are those of the model in
its own process.
"""

import csv
import os
import shutil

import pytest

from hclx.config import ModelConfig
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.text import load_tokenizer
from hclx.text.chat_template import ChatTemplate
from tests.helpers.engines import engine_of
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.numpy_decoder import logprobs_function, noisy_params
from tests.helpers.served_command import serving
from tests.helpers.serving import served

pytest.importorskip("lm_eval")
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402

from hclx.evaluate.lm_eval import HarnessModel  # noqa: E402
from tests.helpers.harness import chatted, evaluated_elsewhere, write_kobest  # noqa: E402

CONFIG = ModelConfig(vocab_size=1024, n_layers=1, d_model=32, n_heads=4, max_length=64)
PAIRS = [
    ("오늘 아침에는 비가", " 내렸다."),
    ("오늘 아침에는 비가", " 왔고, 낮에는 그쳤다."),
    ("영화가 재미있었다. 감정:", " 긍정"),
    ("영화가 재미있었다. 감정:", " 부정"),
    ("드문 글자 뷁과 이모지", " 🦉 끝"),
    ("", "바다"),
]


def asking(kind, *arguments):
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


@pytest.fixture(scope="module")
def models(tokenizers):
    tokenizer, params = tokenizers["train"], noisy_params(CONFIG)
    with engine_of(params, CONFIG, tokenizer, rows=4) as engine:
        own = HarnessModel(engine=engine, tokenizer=tokenizer, max_length=64, add_bos_token=False)
        with served(build_app(Backend(engine, tokenizer, {"own": None}, 64))) as address:
            client = get_model("local-completions")(
                base_url=f"{address}/v1/completions",
                model="own",
                tokenizer_backend="remote",
                max_length=64,
                max_retries=1,
            )
            yield client, own, logprobs_function(params, CONFIG)


def test_scores_are_those_of_full_forward_passes(models):
    client, own, logprobs_of = models
    asked = [asking("loglikelihood", *pair) for pair in PAIRS]
    over_http, in_process = client.loglikelihood(asked), own.loglikelihood(asked)
    for pair, score, expected in zip(PAIRS, over_http, in_process):
        assert score[0] == pytest.approx(expected[0], abs=1e-3)
        assert score[1] == expected[1]
        if pair[0]:
            context, continuation = own._encode_pair(*pair)
            rows = logprobs_of([*context, *continuation])[len(context) - 1 :]
            total = sum(row[token] for row, token in zip(rows, continuation))
            assert score[0] == pytest.approx(total, abs=1e-3)


def test_what_the_model_would_say_itself_is_greedy(models):
    client, own, _ = models
    settings = {"until": ["\n\n\n"], "max_gen_toks": 6, "do_sample": False}
    context = "오늘 아침에는 비가"
    asked = [asking("generate_until", context, dict(settings))]
    (text,), (expected,) = client.generate_until(asked), own.generate_until(asked)
    assert text == expected
    ids = own.tok_encode(context)
    logprobs, is_greedy = client._loglikelihood_tokens([(None, ids, _greedy(own, ids))])[0]
    assert is_greedy and logprobs < 0


def _greedy(own, ids):
    from hclx.infer import GenerateRequest, SamplingConfig

    request = GenerateRequest(tuple(ids), SamplingConfig(max_tokens=5, temperature=0))
    return list(own.engine.generate([request])[0][0].tokens)


def test_the_tokens_are_those_of_the_model(models, tokenizers):
    client, *_ = models
    text = "드문 글자 뷁과 이모지 🦉"
    assert client.tok_encode(text) == tokenizers["train"].encode(text)
    assert client.eot_token_id == tokenizers["train"].eod_id


CHATS = [
    [{"role": "user", "content": text}]
    for text in ("오늘 날씨 어때?", "책을 추천해 줘.", "영화가 재미있었다. 감정은?")
]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHAT_ROUTE = "/v1/chat/completions"


def test_chats_have_the_answers_of_the_model_in_its_own_process(tmp_path):
    pytest.importorskip("transformers")
    save_tokenizer("Qwen", tmp_path, eos_token="<|im_end|>", chat_template=TEMPLATE)
    tokenizer = load_tokenizer(tmp_path)
    size = -(-tokenizer.vocab_size // 8) * 8
    config = ModelConfig(vocab_size=size, n_layers=1, d_model=32, n_heads=4, max_length=128)
    settings = {"until": ["다"], "max_gen_toks": 12, "do_sample": False}
    with engine_of(noisy_params(config), config, tokenizer, rows=4) as engine:
        own = HarnessModel(engine=engine, tokenizer=tokenizer, max_length=128, add_bos_token=False)
        asked = [
            asking("generate_until", own.apply_chat_template(chat), dict(settings))
            for chat in CHATS
        ]
        expected = own.generate_until(asked)
        backend = Backend(engine, tokenizer, {"own": None}, 128, "", ChatTemplate(tokenizer))
        with served(build_app(backend)) as address:
            arguments = {"base_url": f"{address}{CHAT_ROUTE}", "model": "own", "max_retries": 1}
            texts = chatted("local-chat-completions", arguments, CHATS, settings)
    assert texts == expected and len(set(expected)) > 1


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    """A run of a real decoder, with a template of chats."""
    if not os.environ.get("HCLX_MODEL_DIR"):
        pytest.skip("HCLX_MODEL_DIR is not set: it names a Korean decoder of transformers")
    from hclx.convert.importing import import_model

    folder = tmp_path_factory.mktemp("model")
    import_model(os.environ["HCLX_MODEL_DIR"], folder / "base")
    shutil.copytree(folder / "base", folder / "chat")
    template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    (folder / "chat" / "tokenizer" / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.long
def test_200_items_are_scored_alike_over_http(real_run, data_dir, tmp_path):
    write_kobest(data_dir / "tasks" / "kobest", tmp_path)
    same = {"tasks": ["local_kobest_copa"], "include": str(tmp_path), "limit": 200}
    ours = {"model_dir": str(real_run / "base"), "dtype": "float32", "add_bos_token": False}
    expected = evaluated_elsewhere(tmp_path / "own.json", model="hclx", model_args=ours, **same)
    with serving(f"--model_dir={real_run / 'base'}", "--dtype=float32") as (_, address):
        arguments = {"base_url": f"{address}/v1/completions", "model": "base"}
        arguments |= {"tokenizer_backend": "remote", "max_retries": 1}
        client = {"model": "local-completions", "model_args": arguments}
        results = evaluated_elsewhere(tmp_path / "http.json", **client, **same)
    ((task, own),) = expected.items()
    key = lambda sample: sample["doc_id"]
    pairs = list(zip(sorted(own["samples"], key=key), sorted(results[task]["samples"], key=key)))
    assert len(pairs) == 200
    for sample, other in pairs:
        assert sample["prompt_hash"] == other["prompt_hash"]
        for mine, theirs in zip(sample["filtered_resps"], other["filtered_resps"], strict=True):
            assert theirs[0] == pytest.approx(mine[0], abs=1e-3) and theirs[1] == mine[1]
    assert own["metrics"]["acc,none"] == results[task]["metrics"]["acc,none"]


@pytest.mark.long
def test_200_chats_are_answered_alike_over_http(real_run, data_dir, tmp_path):
    path = data_dir / "tasks" / "kobest" / "SentiNeg" / "dev.tsv"
    with open(path, encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[:200]
    chats = [[{"role": "user", "content": row["Text"]}] for row in rows]
    same = {"chats": chats, "settings": {"until": ["\n"], "max_gen_toks": 16, "do_sample": False}}
    ours = {"model_dir": str(real_run / "chat"), "dtype": "float32", "add_bos_token": False}
    expected = evaluated_elsewhere(tmp_path / "own.json", model="hclx", model_args=ours, **same)
    with serving(f"--model_dir={real_run / 'chat'}", "--dtype=float32") as (_, address):
        arguments = {"base_url": f"{address}{CHAT_ROUTE}", "model": "chat", "max_retries": 1}
        client = {"model": "local-chat-completions", "model_args": arguments}
        texts = evaluated_elsewhere(tmp_path / "http.json", **client, **same)
    assert len(texts) == 200 and len(set(texts)) > 20
    assert texts == expected
