"""The models that jobs of tuning have made, by their names. They come and go while a server runs,
and each belongs to a tenant.
"""

import threading
from typing import NamedTuple


class TunedModel(NamedTuple):
    """A model beside its base.

    Attributes:
      artefact: the name that it has in the engine, by which it may be asked for, too.
      name: by which clients ask for it.
      tenant: others do not see it.
      created: seconds since 1970.
    """

    artefact: str
    name: str
    tenant: str
    created: int


class TunedModels:
    """The models, for all threads."""

    def __init__(self):
        """Starts without any."""
        self._models: dict[str, TunedModel] = {}
        self._lock = threading.Lock()

    def add(self, model: TunedModel) -> None:
        """Adds a model, or replaces that of the same artefact."""
        with self._lock:
            self._models = {**self._models, model.artefact: model}

    def remove(self, artefact: str) -> None:
        """Removes the model of an artefact, if there is one."""
        with self._lock:
            self._models = {k: v for k, v in self._models.items() if k != artefact}

    def find(self, name: str, tenant: str) -> TunedModel | None:
        """Returns the model of a name, or of an artefact, that a tenant sees; None if there is
        none.
        """
        own = self.of_tenant(tenant)
        return next((model for model in own if name in (model.name, model.artefact)), None)

    def of_tenant(self, tenant: str) -> list[TunedModel]:
        """Returns the models that a tenant sees, from the oldest on."""
        models = self._models  # is replaced as a whole
        return [model for model in models.values() if model.tenant == tenant]

    @property
    def artefacts(self) -> set[str]:
        """The artefacts of all models."""
        return set(self._models)
