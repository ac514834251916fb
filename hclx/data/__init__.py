"""The token cache, the order of its windows, and the loader that reads them."""

from hclx.data.prepare import prepare
from hclx.data.token_cache import TokenCache

__all__ = ["BatchLoader", "Loader", "TokenCache", "prepare"]


def __getattr__(name: str):
    """Only the loaders need JAX, and a machine that builds caches may have none."""
    if name not in ("BatchLoader", "Loader"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hclx.data import loader

    return getattr(loader, name)
