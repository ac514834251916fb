"""lm-evaluation-harness as a client, unmodified: its scores over HTTP are those of the model in
its own process.
"""

import pytest

from hclx.config import ModelConfig
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import logprobs_function, noisy_params
from tests.helpers.serving import served

pytest.importorskip("lm_eval")
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402

from hclx.evaluate.lm_eval import HarnessModel  # noqa: E402

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
