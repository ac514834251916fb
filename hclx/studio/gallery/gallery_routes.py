"""Routes of what a prompt begins with: the gallery, and a sentence that says what it is for."""

import dataclasses
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import invalid
from hclx.serve.json_body import read_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.studio.gallery.describe_prompt import describe
from hclx.studio.gallery.gallery_files import load_gallery
from hclx.studio.studio import Studio

_MOST_CHARACTERS = 1000


class DescriptionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a prompt: a sentence, and the model that writes and answers."""

    text: Annotated[str, Meta(max_length=_MOST_CHARACTERS)]
    model: str = ""


def gallery_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""

    async def gallery(request: Request) -> Response:
        return JSONResponse({"data": [dataclasses.asdict(prompt) for prompt in load_gallery()]})

    async def describe_text(request: Request) -> Response:
        body = await read_body(request, DescriptionBody)
        if not body.text.strip():
            raise invalid("text is empty; say in a sentence what the prompt is for", "text")
        asked = studio, request.state.caller, body.text, body.model
        return JSONResponse(dataclasses.asdict(await describe(*asked)))

    example = {"text": "영화 후기를 긍정과 부정으로 나눠 줘"}
    summary = "Makes a prompt of a sentence; what is generated is to be edited."
    return [
        ApiRoute("/studio/api/gallery", gallery, Operation("Lists prompts to begin with.")),
        ApiRoute(
            "/studio/api/describe",
            describe_text,
            Operation(summary, None, DescriptionBody, example),
        ),
    ]
