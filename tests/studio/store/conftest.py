"""Stores on both databases, with two people."""

import pytest

from hclx.studio.store.people_records import create_person
from tests.serve.store.conftest import database, postgres, url

__all__ = ["database", "postgres", "url"]


@pytest.fixture
def hana(database):
    """The id of a person."""
    return create_person(database, "하나", "maker", 9).id


@pytest.fixture
def duri(database):
    """The id of another person."""
    return create_person(database, "두리", "maker", 9).id
