"""hclx's own dialect: what the engine can do beyond the dialects of others."""

from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.dialect import Dialect
from hclx.serve.native.native_fields import ErrorAnswer, render_error
from hclx.serve.native.native_generate import GenerateAnswer, GenerateBody, NativeGenerate
from hclx.serve.native.native_gradient import GradientAnswer, GradientBody, NativeGradient
from hclx.serve.native.native_scores import (
    ChooseAnswer,
    ChooseBody,
    NativeScores,
    ScoreAnswer,
    ScoreBody,
)
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service

_SCORE = Operation(
    "Computes the log-probabilities of continuations, or of all tokens of texts.",
    ScoreAnswer,
    ScoreBody,
    {"items": [{"context": "대한민국의 수도는", "continuation": " 서울이다."}], "top": 1},
)
_CHOOSE = Operation(
    "Chooses among continuations of a context by their log-probabilities.",
    ChooseAnswer,
    ChooseBody,
    {"context": "재미있었다. 감정:", "choices": [" 긍정", " 부정"], "score": "per_token"},
)
_GENERATE = Operation(
    "Continues many prompts, each with its own settings.",
    GenerateAnswer,
    GenerateBody,
    {
        "prompts": [
            {"prompt": "오늘은", "max_tokens": 8, "temperature": 0, "logprobs": 1},
            {"prompt": "점수:", "max_tokens": 4, "grammar": {"regex": "[0-9]{2}"}},
        ]
    },
)
_GRADIENT = Operation(
    "Computes the gradient of the log-probability of a continuation by the input vectors.",
    GradientAnswer,
    GradientBody,
    {"context": "재미있었다. 감정:", "continuation": " 긍정"},
    statuses=(501,),
)


def native_dialect(service: Service) -> Dialect:
    """Returns the routes of the dialect, below /hclx/."""
    scores, write, derive = NativeScores(service), NativeGenerate(service), NativeGradient(service)

    async def generate(request: Request) -> Response:
        return await write(request)

    async def gradient(request: Request) -> Response:
        return await derive(request)

    routes = [
        ApiRoute("/hclx/v1/score", scores.score, _SCORE),
        ApiRoute("/hclx/v1/choose", scores.choose, _CHOOSE),
        ApiRoute("/hclx/v1/generate", generate, _GENERATE),
        ApiRoute("/hclx/v1/gradient", gradient, _GRADIENT),
    ]
    owns = lambda path: path.startswith("/hclx/")
    return Dialect("hclx", routes, render_error, owns, ErrorAnswer)
