"""Errors about records of the Studio, by which its routes tell clients what to do."""

from hclx.errors import ConfigError


class NoSuchRecordError(ConfigError):
    """There is no record of this id, or it is not for whom asks."""


class StaleRevisionError(ConfigError):
    """The record has been changed since it was read."""


class TakenError(ConfigError):
    """Another record has the name, or something still uses the record."""


class FullError(ConfigError):
    """The owner has as many as one may have."""
