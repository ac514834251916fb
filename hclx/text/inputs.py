"""Finds the files that a user named: paths, folders and patterns, whatever characters they hold.

A name that exists is taken as it is, before it is a pattern: brackets and commas in names need no
escape. Names are compared in NFC, as one that was typed need not have the form that the disk holds
(macOS takes syllables apart).
"""

import fnmatch
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Protocol

from hclx.errors import ConfigError, DataError
from hclx.progress import counted
from hclx.text.formats import KINDS, known_format
from hclx.utf8 import check_path

_LOG = logging.getLogger(__name__)
_MAGIC = re.compile(r"[*?[]")


class Place(Protocol):
    """A file system as it is searched; paths have `/` between folders, and "" is its root or the
    current folder.
    """

    def kind(self, path: str) -> str:
        """Returns "file" or "folder", or "" if there is no such path."""

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """Returns (name, whether it is a folder) of everything in a folder; [] if there is none."""


def expand_globs(patterns: str) -> list[str]:
    """Files that GLOB[,GLOB...] names, sorted, each once.

    Args:
      patterns: paths or patterns. `**` matches folders of any depth, `~` is the user's folder, and
        of a folder every file of a known format below it is taken; the number of the other files is
        logged. A file that exists under the whole name is that file. A character of a pattern in
        brackets, such as `[*]` or `[,]`, stands for itself.
    Raises:
      ConfigError: no pattern is given, or a file that is named is of a kind that cannot be read.
      DataError: a pattern matches nothing, a folder holds no file of a known format, or a corpus
        is there that `hclx build_corpus` made, whose files are no text to read.
    """
    if not patterns.strip(" ,"):
        raise ConfigError("no input is given; name files or folders as GLOB[,GLOB...]")
    paths = set()
    for pattern in split_patterns(patterns, LocalPlace()):
        matches, skipped = find(_home(pattern), LocalPlace())
        if not matches:
            held = f"{nothing(_home(pattern), LocalPlace())}; input is"
            if skipped:
                held = f"matches no file: of {counted(len(skipped), 'file')} below it none is"
            raise DataError(f"{pattern} {held} {KINDS}")
        if built := corpus_among(matches, LocalPlace()):
            raise DataError(
                f"{built} is a corpus that hclx build_corpus made; give it as --corpus,"
                f" in training as --gin.DataConfig.corpus, or as input {built}/mixture/*/*.jsonl.gz"
            )
        if skipped:
            _LOG.info("%s: %s skipped", pattern, others(len(skipped)))
        paths.update(matches)
    for path in paths:
        if not known_format(path):
            raise ConfigError(
                f"{path}: its format cannot be told from its name, which is none of {KINDS}; rename"
                " it, as text to .txt"
            )
    return sorted(paths)


def nothing(pattern: str, place: Place) -> str:
    """Says how it is that a path or pattern names no file at all."""
    if place.kind(pattern) == "folder":
        return "is an empty folder" if not place.entries(pattern) else "is a folder without a file"
    return "matches no file"


def corpus_among(paths: Iterable[str], place: Place) -> str:
    """Returns the folder of a corpus of which the settings are among some files; "" if none is."""
    for path in paths:
        folder, _, name = path.rpartition("/")
        below = f"{folder}/" if folder else ""  # else it is the place itself
        if name == "settings.json" and all(
            place.kind(f"{below}{part}") == "folder" for part in ("documents", "attributes")
        ):
            return folder or "."
    return ""


def others(n: int) -> str:
    """Names a number of files that are of no known format."""
    return counted(n, "file of another kind", "files of other kinds")


def _home(path: str) -> str:
    return os.path.expanduser(path)


def split_patterns(patterns: str, place: Place) -> list[str]:
    """Divides patterns at commas, but not a name that exists.

    Args:
      patterns: GLOB[,GLOB...]; white space around one does not count. A comma in brackets, `[,]`,
        divides nothing.
      place: the file system.
    Returns:
      The patterns, at least one character each.
    """
    parts, result = re.split(r",(?!\])", patterns), []
    while parts:
        ends = range(len(parts), 1, -1)
        longest = next((end for end in ends if _is_name(",".join(parts[:end]).strip(), place)), 1)
        result.append(",".join(parts[:longest]).strip())
        del parts[:longest]
    return [pattern for pattern in result if pattern]


def _is_name(text: str, place: Place) -> bool:
    """Whether the last comma of a text is in the name of a file or folder that exists."""
    end = text.find("/", text.rfind(","))
    return _exists(text if end < 0 else text[:end], place)


def find(pattern: str, place: Place, any_kind: bool = False) -> tuple[list[str], list[str]]:
    """Finds the files that a path or pattern names.

    Args:
      pattern: with `/` between folders; one that begins with `/` is absolute. One that ends in `**`
        is as good as the folders before it.
      place: the file system.
      any_kind: a `**` at the end takes files of every name, because their format is known.
    Returns:
      Their paths, sorted, as `pattern` names their folders and the disk their names; and, if the
      pattern names a folder itself, the files below it that are of no known format, sorted.
    Raises:
      ConfigError: the name of a file is not in UTF-8.
    """
    root = "/" if pattern.startswith("/") else ""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    is_below = parts[-1:] == ["**"] and not any_kind
    while is_below and parts[-1:] == ["**"]:
        parts.pop()
    files, skipped = set(), set()
    for path, is_folder, is_named in _matches(root, parts, place):
        if is_folder and (is_named or is_below):
            for name in _below(path, place):
                (files if known_format(name) else skipped).add(name)
        elif not is_folder and not is_below:
            files.add(path)
    for path in files:
        check_path(path)
    return sorted(files), sorted(skipped)


def _matches(folder: str, parts: list[str], place: Place) -> Iterator[tuple[str, bool, bool]]:
    """(path, whether it is a folder, whether its last part was named, not matched) of everything
    below a folder that the parts match.
    """
    if not parts:
        yield folder, True, True
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matches(folder, rest or ["*"], place)
        for name, is_folder in place.entries(folder):
            if is_folder and not name.startswith("."):
                yield from _matches(_join(folder, name), parts, place)
        return
    for path, is_folder, is_named in _chosen(folder, part, place):
        if not rest:
            yield path, is_folder, is_named
        elif is_folder:
            yield from _matches(path, rest, place)


def _exists(path: str, place: Place) -> bool:
    """Whether there is a file or folder of a name, in either form of Hangul; no pattern."""
    path = _home(path)
    folders = ["/" if path.startswith("/") else ""]
    for part in path.split("/"):
        if part not in ("", "."):
            folders = [p for f in folders for p, _, is_named in _chosen(f, part, place) if is_named]
    return bool(folders)


def _chosen(folder: str, part: str, place: Place) -> list[tuple[str, bool, bool]]:
    """Everything in a folder that one part of a pattern matches; see `_matches`."""
    if kind := place.kind(_join(folder, part)):
        return [(_join(folder, part), kind == "folder", True)]
    part = unicodedata.normalize("NFC", part)
    entries = [
        (unicodedata.normalize("NFC", name), name, is_dir) for name, is_dir in place.entries(folder)
    ]
    if named := [entry for entry in entries if entry[0] == part]:
        return [(_join(folder, name), is_folder, True) for _, name, is_folder in named]
    if not _MAGIC.search(part):
        return []
    return [
        (_join(folder, name), is_folder, False)
        for known, name, is_folder in entries
        if fnmatch.fnmatchcase(known, part) and (known[0] != "." or part[0] == ".")
    ]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def _below(folder: str, place: Place) -> Iterator[str]:
    """Every file below a folder, at any depth, but for hidden ones."""
    for name, is_folder in place.entries(folder):
        path = _join(folder, name)
        if not name.startswith("."):
            yield from _below(path, place) if is_folder else [path]


def common_depth(patterns: list[str], place: Place) -> int:
    """Returns how many folders deep all files of patterns lie for certain, whatever they match:
    two for `a/b/*.txt`, for `a/b/c.txt`, and for `a/b` if that is a folder.
    """
    return len(os.path.commonprefix([_named_folders(pattern, place) for pattern in patterns]))


def _named_folders(pattern: str, place: Place) -> list[str]:
    """The names, in NFC, of the folders that a pattern begins with, up to a part that is no name of
    a folder.
    """
    folder, names = "/" if pattern.startswith("/") else "", []
    for part in (part for part in pattern.split("/") if part not in ("", ".")):
        chosen = _chosen(folder, part, place)
        folders = [path for path, is_folder, is_named in chosen if is_folder and is_named]
        if not folders:
            break
        folder = folders[0]
        names.append(unicodedata.normalize("NFC", part))
    return names


def may_match(pattern: str, path: str) -> bool:
    """Returns whether `find` would take a file of this path, if there were one: the pattern matches
    it or names a folder that it is in.
    """
    parts, names = ([p for p in text.split("/") if p not in ("", ".")] for text in (pattern, path))
    if names[: len(parts)] == parts:
        return True
    return _is_match(names, parts)


def _is_match(names: list[str], parts: list[str]) -> bool:
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**" and (_is_match(names, parts[1:] or ["*"]) or _is_match(names[1:], parts)):
        return True
    return fnmatch.fnmatchcase(names[0], parts[0]) and _is_match(names[1:], parts[1:])


class LocalPlace:
    """The file system of this machine; links are followed, but none to a folder that it is in."""

    def kind(self, path: str) -> str:
        """See `Place`."""
        if os.path.isdir(path or "."):
            return "folder"
        return "file" if os.path.exists(path) else ""

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """See `Place`.

        Raises:
          PermissionError: the folder may not be read.
        """
        folder = folder or "."
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [
            (entry.name, entry.is_dir())
            for entry in entries
            if not (entry.is_symlink() and entry.is_dir() and _is_within(folder, entry.path))
        ]


def _is_within(folder: str, link: str) -> bool:
    target = os.path.realpath(link)
    return f"{os.path.realpath(folder)}/".startswith(f"{target.rstrip('/')}/")
