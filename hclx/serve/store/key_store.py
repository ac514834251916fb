"""Keys of a server that has a store: who asks, whether the quotas allow it, and what was used."""

import contextlib
import time
from collections.abc import Callable, Iterator

from hclx.errors import HclxError
from hclx.serve.api_error import ApiError, invalid, store_unavailable
from hclx.serve.caller import Caller, Ended
from hclx.serve.store.database import Database, open_database
from hclx.serve.store.key_records import key_of_secret, record_of
from hclx.serve.store.quotas import (
    QuotaError,
    Reservation,
    lock_key,
    reserve,
    settle,
)
from hclx.serve.store.server_lock import only_server
from hclx.serve.store.usage_store import Finished, add_usage

RESERVATION_SECONDS = 3_600  # longer than a request waits and runs


class KeyStore:
    """Implements `hclx.serve.caller.Keys` over a store, for any number of threads and replicas.

    Attributes:
      database: the store.
    """

    def __init__(
        self,
        database: Database,
        reservation_seconds: float = RESERVATION_SECONDS,
        clock: Callable[[], float] = time.time,
    ):
        """Takes an open store.

        Args:
          database: see `open_database`; it stays open.
          reservation_seconds: after which a request that has not ended counts as lost, and its
            tokens are given back; longer than any request waits and runs.
          clock: returns the seconds since 1970.
        """
        self.database, self._seconds, self._clock = database, reservation_seconds, clock

    def authenticate(self, secret: str) -> Caller | None:
        """Returns the owner of a key; None if there is no such key, or it is not active any more.

        Raises:
          ApiError: 503, the store cannot be read.
        """
        try:
            record = key_of_secret(self.database, secret, self._clock())
        except HclxError as error:
            raise store_unavailable(error) from error
        return record and Caller(record.id, record.tenant, record.scopes, record.kind)

    def admit(self, caller: Caller, cost_tokens: int) -> Reservation:
        """Counts a request against the quotas of its key.

        Args:
          caller: who asks.
          cost_tokens: of the prompts, and the most that may be written behind them.
        Returns:
          its reservation, which `record` takes.
        Raises:
          ApiError: 429, with the seconds after which the quota allows it; 400, it never will; 401,
            the key was revoked since; 503, the store cannot be written.
        """
        now = self._clock()
        try:
            with self.database.writing() as connection:
                row = lock_key(connection, caller.key_id)
                key = row and record_of(row)
                if key is None or key.state(now) != "active":
                    raise ApiError(
                        401, "invalid_api_key", f"the key {caller.key_id} is not active any more"
                    )
                return reserve(connection, key, cost_tokens, now, self._seconds)
        except QuotaError as error:
            if error.seconds is None:
                raise invalid(str(error)) from error
            raise ApiError(
                429, "rate_limit_exceeded", str(error), retry_after=error.seconds
            ) from error
        except HclxError as error:
            raise store_unavailable(error) from error

    def record(self, caller: Caller, ended: Ended, reservation: Reservation) -> None:
        """Records a request that has ended, in whatever way, and counts the tokens that it took in
        place of its cost; a second record of one reservation counts nothing.

        Raises:
          ApiError: 503, the store cannot be written.
        """
        now, usage = self._clock(), ended.usage
        tokens = usage.prompt_tokens, usage.completion_tokens
        finished = Finished(*tokens, ended.model, ended.route, ended.reason)
        try:
            with self.database.writing() as connection:
                lock_key(connection, caller.key_id)
                if add_usage(connection, reservation.id, caller.key_id, finished, now):
                    settle(connection, reservation, sum(tokens))
        except HclxError as error:
            raise store_unavailable(error) from error


@contextlib.contextmanager
def open_keys(url: str) -> Iterator[KeyStore]:
    """Opens the keys of a store that `hclx keys create` has made, for a server, while the block
    runs; see `open_database` and `only_server`.
    """
    with open_database(url, makes=False) as database, only_server(database):
        yield KeyStore(database)
