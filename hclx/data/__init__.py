"""The token cache, the order of its windows, and the loader that reads them."""

from hclx.data.prepare import prepare
from hclx.data.token_cache import TokenCache

__all__ = ["Loader", "TokenCache", "prepare"]


def __getattr__(name: str):
    """Only the loader needs JAX, and a machine that builds caches may have none."""
    if name != "Loader":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hclx.data.loader import Loader

    return Loader
