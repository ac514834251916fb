"""hclx's own dialect: what the engine can do beyond the dialects of others."""

from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.dialect import Dialect
from hclx.serve.native_fields import ErrorAnswer, render_error
from hclx.serve.native_generate import GenerateAnswer, GenerateBody, NativeGenerate
from hclx.serve.native_gradient import GradientAnswer, GradientBody, NativeGradient
from hclx.serve.native_scores import ChooseAnswer, ChooseBody, NativeScores, ScoreAnswer, ScoreBody
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service

_SCORE = Operation(
    "Computes the log-probabilities of continuations, or of all tokens of texts.",
    ScoreAnswer,
    ScoreBody,
)
_CHOOSE = Operation(
    "Chooses among continuations of a context by their log-probabilities.", ChooseAnswer, ChooseBody
)
_GENERATE = Operation(
    "Continues many prompts, each with its own settings.", GenerateAnswer, GenerateBody
)
_GRADIENT = Operation(
    "Computes the gradient of the log-probability of a continuation by the input vectors.",
    GradientAnswer,
    GradientBody,
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
