"""The route that tells what people and their apps have used."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.admin_dialect import first_day, usage_view
from hclx.serve.operation import ApiRoute, Operation
from hclx.studio.body_checks import seen_by
from hclx.studio.store.usage_records import usage_of
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio

_SUMMARY = "Sums up usage by day: one's own and that of one's apps; for administrators, all."


def usage_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""

    async def usage(request: Request) -> Response:
        owner = seen_by(studio.person_of(request))
        since = first_day(request, studio.clock())
        days = await in_store(usage_of, studio.database, owner, since)
        views = [usage_view(day) | vars(key_owner) for day, key_owner in days]
        return JSONResponse({"data": views, "is_whole": owner is None})

    return [ApiRoute("/studio/api/usage", usage, Operation(_SUMMARY, query=("days",)))]
