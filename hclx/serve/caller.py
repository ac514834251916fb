"""Who asks, and the store of keys as a server sees it."""

import dataclasses
from typing import Literal, Protocol

from hclx.serve.api_error import ApiError


@dataclasses.dataclass(frozen=True)
class Usage:
    """The tokens of a request.

    Attributes:
      prompt_tokens: that were read, or came from the prefix cache.
      completion_tokens: that were written.
      cached_tokens: those of `prompt_tokens` that came from the prefix cache.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclasses.dataclass(frozen=True)
class Ended:
    """A request that has ended.

    Attributes:
      usage: its tokens.
      model: the name by which the model was asked for.
      route: the path of the request.
      reason: "finished", "cancelled" or "failed".
    """

    usage: Usage
    model: str = ""
    route: str = ""
    reason: str = "finished"


APP_SCOPE = "app"  # of keys that may call an app of the Studio, and nothing else
APP_PATH = "/apps/"
NO_KEY = "open"  # in logs, where a server has no store: all of its clients together


@dataclasses.dataclass(frozen=True)
class Caller:
    """The owner of a key.

    Attributes:
      key_id: tells the key apart, and is no secret: it is in logs.
      tenant: requests of different tenants share no beginning in the prefix cache.
      scopes: what the key may do, such as "inference", "tuning" or "admin".
      kind: "test" or "service", as CLOVA Studio has keys.
    """

    key_id: str
    tenant: str = ""
    scopes: frozenset[str] = frozenset({"inference"})
    kind: Literal["test", "service"] = "service"

    def check_scope(self, scope: str) -> None:
        """Raises ApiError (403) if the key may not do this."""
        if scope not in self.scopes:
            raise ApiError(
                403,
                "forbidden",
                f"the key {self.key_id} has not the scope {scope!r}; ask for one that has",
            )

    def check_path(self, path: str) -> None:
        """Raises ApiError (403) if the key is that of an app, and the path is not of apps."""
        if self.scopes == {APP_SCOPE} and not path.startswith(APP_PATH):
            text = f"the key {self.key_id} is that of an app, and may call {APP_PATH}... alone"
            raise ApiError(403, "forbidden", text)


class Keys(Protocol):
    """A store of keys. Its methods are called in threads, and may wait for a database."""

    def authenticate(self, secret: str) -> Caller | None:
        """Returns the owner of a key, None if there is no such key; "" is no key at all."""

    def admit(self, caller: Caller, cost_tokens: int) -> object:
        """Counts a request against the quotas of its key.

        Args:
          caller: who asks.
          cost_tokens: of the prompts, and the most that may be written behind them.
        Returns:
          its reservation, which `record` takes.
        Raises:
          ApiError: 429, with the seconds after which the quota allows it.
        """

    def record(self, caller: Caller, ended: Ended, reservation: object) -> None:
        """Records a request, once it has ended in whatever way, and counts what it has used in
        place of its cost.
        """


class OpenKeys:
    """Lets everyone in, with any key and without: the default of a server without a store."""

    def authenticate(self, secret: str) -> Caller:
        """Returns the same caller for all."""
        return Caller(NO_KEY)

    def admit(self, caller: Caller, cost_tokens: int) -> None:
        """Admits everything."""

    def record(self, caller: Caller, ended: Ended, reservation: object) -> None:
        """Records nothing."""
