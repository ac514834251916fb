"""The API of the Studio's pages, below /studio/api/, and of its apps, below /apps/."""

from collections.abc import Callable

from hclx.serve.dialect import Dialect
from hclx.serve.native.native_fields import ErrorAnswer, render_error
from hclx.serve.operation import ApiRoute
from hclx.studio.apps.app_routes import app_routes
from hclx.studio.batches.batch_routes import batch_routes
from hclx.studio.batches.batch_runner import BatchRunner
from hclx.studio.drafts.prompt_routes import prompt_routes
from hclx.studio.drafts.share_routes import share_routes
from hclx.studio.drafts.table_routes import table_routes
from hclx.studio.gallery.gallery_routes import gallery_routes
from hclx.studio.people.people_routes import people_routes
from hclx.studio.people.usage_routes import usage_routes
from hclx.studio.running.run_routes import run_routes
from hclx.studio.studio import Studio

_OWN = ("/studio/api/", "/apps/")
# Each makes the routes of its part.
ROUTES: tuple[Callable[[Studio], list[ApiRoute]], ...] = (
    people_routes,
    prompt_routes,
    share_routes,
    table_routes,
    app_routes,
    run_routes,
    batch_routes,
    gallery_routes,
    usage_routes,
)


def studio_dialect(studio: Studio) -> Dialect:
    """Returns the routes of all parts of the Studio but its pages; batches run beside them."""
    studio.service.workers.append(BatchRunner(studio).run)
    routes = [route for make in ROUTES for route in make(studio)]
    return Dialect("studio", routes, render_error, lambda path: path.startswith(_OWN), ErrorAnswer)
