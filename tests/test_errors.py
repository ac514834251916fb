"""A library that is missing: the error says which extra has it."""

import pytest

from hclx import errors


def test_the_extras_of_all_missing_libraries_are_named(monkeypatch):
    monkeypatch.setattr(errors, "EXTRA_OF", {"no_such_a": "plot", "no_such_b": "data", "json": "x"})
    with pytest.raises(errors.MissingExtraError) as raised:
        errors.require("no_such_a", "json", "no_such_b")
    assert raised.value.exit_code == 64
    assert str(raised.value) == (
        "no_such_a, no_such_b are not installed; pip install 'hclx[data,plot]' (in a checkout: pip"
        " install -e '.[data,plot]')"
    )


def test_what_is_installed_is_not_imported(monkeypatch):
    monkeypatch.setattr(errors, "EXTRA_OF", {"this": "data"})
    errors.require("this")
    import sys

    assert "this" not in sys.modules
