"""Fixtures of this package."""

import pytest

from tests.helpers import generated_corpus
from tests.helpers.built_corpora import corpus


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    return folder, generated_corpus.write(folder)


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    made = corpus(raw[0], tmp_path_factory.mktemp("built"))
    made.build()
    return made
