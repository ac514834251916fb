"""The parts that all routes of the Studio share."""

import dataclasses
import time
from collections.abc import Callable

from starlette.requests import Request

from hclx.serve.api_error import ApiError
from hclx.serve.service import Service
from hclx.serve.store.database import Database
from hclx.serve.store.key_records import find_key
from hclx.studio.people.session_keys import PersonCaller
from hclx.studio.store.people_records import Person, find_person


@dataclasses.dataclass(frozen=True)
class Studio:
    """The Studio of a server.

    Attributes:
      service: the parts of the server.
      database: its store.
      clock: returns the seconds since 1970.
      has_tuning: whether the server takes jobs of tuning.
    """

    service: Service
    database: Database
    clock: Callable[[], float] = time.time
    has_tuning: bool = False

    def person_of(self, request: Request) -> Person:
        """Returns who asks, as the guard found out. Raises ApiError (403) if that is the owner of a
        key, and nobody who is logged in.
        """
        caller = request.state.caller
        if not isinstance(caller, PersonCaller):
            text = f"the key {caller.key_id} is no person's: log in to the Studio by a link"
            raise ApiError(403, "forbidden", text)
        return caller.person

    def caller_of(self, person_id: str) -> PersonCaller:
        """Returns the caller as whom the work of a person goes on while nobody asks. It reads the
        store: call it in a thread.

        Raises:
          NoSuchPersonError: the person was removed.
        """
        person = find_person(self.database, person_id)
        return PersonCaller.of(person, find_key(self.database, person.key_id))
