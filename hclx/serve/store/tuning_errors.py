"""Errors about data sets and jobs of tuning, by which a server tells clients what to do."""

from hclx.errors import ConfigError


class NameTakenError(ConfigError):
    """A job or an artefact has the name already."""


class TooManyError(ConfigError):
    """A tenant has as many as it may have."""


class InUseError(ConfigError):
    """A job that has not ended uses it."""
