"""Errors about records of the Studio, by which its routes tell pages what to do."""

from hclx.errors import ConfigError


class NotThereError(ConfigError):
    """The store has no such record, or the person who asks may not see it."""


class ConflictError(ConfigError):
    """It does not go with what the store has."""


class StaleRevisionError(ConflictError):
    """A record has been changed since it was read."""
