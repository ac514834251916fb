"""Errors for a person: the extra that has a missing library, and what the operating system says."""

import errno

import pytest

from hclx import errors
from hclx.read_errors import diagnose


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


TENSORSTORE = "RESOURCE_EXHAUSTED: Failed to write \"/d/c/0\" [os_error_code='28'] [source='x.cc']"


@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(errno.EACCES, "", "d"), "'d' cannot be read or written: Permission denied; give"),
        (OSError(errno.EPERM, "", "d"), "'d' cannot be read or written: Operation not permitted"),
        (OSError(errno.EIO, "", "d"), "'d' cannot be read or written: Input/output error; look"),
        (OSError(errno.ENOSPC, "", b"d"), "b'd' cannot be read or written: No space left on devi"),
        (OSError(errno.EROFS, "", "d"), "'d' cannot be read or written: Read-only file system; mo"),
        (OSError(errno.ESTALE, "Stale"), "a file cannot be read or written: Stale file handle; mo"),
        (
            OSError(errno.EFBIG, "File too large"),
            "a file cannot be read or written: File too large",
        ),
        (OSError(errno.EEXIST, "Cannot create 'f': exists"), "'f' cannot be"),  # as pyarrow
        (
            ValueError(TENSORSTORE),
            "'/d/c/0' cannot be read or written: No space left on device; fr",
        ),
    ],
)
def test_an_error_of_the_operating_system_has_the_code_of_storage(error, expected):
    known = errors.known_error(error)
    assert str(known).startswith(expected) and str(known).endswith("run the same command again")
    assert known.exit_code == errors.exit_code(error, False) == 74


def test_a_reason_ends_before_what_tensorstore_appends(tmp_path):
    """There are more than one of them where one driver reads through another."""
    appended = "[tensorstore_spec[1]='{}'] [os_error_code[2]='13'] [source='x.cc']"
    failure = diagnose(ValueError(f"PERMISSION_DENIED: Error opening x {appended}"), tmp_path)
    assert failure == ("unreadable", "Permission denied (PERMISSION_DENIED: Error opening x)")


@pytest.mark.parametrize(
    "error", [OSError("no number"), OSError(errno.EBADF, "no path"), ValueError("'a'")]
)
def test_a_fault_of_the_program_has_no_line_for_a_person(error):
    assert errors.known_error(error) is None and errors.exit_code(error, False) == 1
