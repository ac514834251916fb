"""Keys of a server with the Studio: requests of pages have the secret of a session as a cookie, and
are those of the key of the person who is logged in.
"""

import dataclasses

from hclx.errors import HclxError
from hclx.serve.api_error import store_unavailable
from hclx.serve.caller import Caller
from hclx.serve.store.key_records import KeyRecord
from hclx.serve.store.key_store import KeyStore
from hclx.studio.store.people_records import Person
from hclx.studio.store.session_records import PREFIX, person_of_session


@dataclasses.dataclass(frozen=True)
class PersonCaller(Caller):
    """The owner of a key who is a person of the Studio.

    Attributes:
      person: who it is.
    """

    person: Person = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, person: Person, key: KeyRecord) -> "PersonCaller":
        """Returns a person as a caller."""
        return cls(key.id, key.tenant, key.scopes, key.kind, person=person)


class SessionKeys(KeyStore):
    """A store of keys that knows sessions, too."""

    def authenticate(self, secret: str) -> Caller | None:
        """Returns the owner of a key, or who is logged in; None if there is no such key or
        session, or it has ended.

        Raises:
          ApiError: 503, the store cannot be read.
        """
        if not secret.startswith(PREFIX):
            return super().authenticate(secret)
        try:
            known = person_of_session(self.database, secret, self._clock())
        except HclxError as error:
            raise store_unavailable(error) from error
        return known and PersonCaller.of(*known)
