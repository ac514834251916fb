"""The store as the handlers of the Studio ask it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from hclx.errors import ConfigError, HclxError
from hclx.serve.api_error import ApiError, invalid, store_unavailable
from hclx.studio.store.studio_errors import ConflictError, NotThereError

T = TypeVar("T")


async def in_store(function: Callable[..., T], *arguments, **named) -> T:
    """Calls a function of the store in a thread, and returns its result.

    Raises:
      ApiError: 404, the store has no such record; 409, it does not go with what there is; 400, a
        value is out of range; 503, the store cannot be read or written.
    """
    try:
        return await asyncio.to_thread(function, *arguments, **named)
    except NotThereError as error:
        raise ApiError(404, "not_found", str(error)) from error
    except ConflictError as error:
        raise ApiError(409, "conflict", str(error)) from error
    except ConfigError as error:
        name, equals, _ = str(error).partition("=")
        raise invalid(str(error), name if equals and name.isidentifier() else None) from error
    except HclxError as error:
        raise store_unavailable(error) from error
