"""The token cache, the order of its windows, and the loader that reads them."""

from hclx.data.cache import TokenCache
from hclx.data.loader import Loader
from hclx.data.prepare import prepare

__all__ = ["Loader", "TokenCache", "prepare"]
