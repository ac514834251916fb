"""From the bytes of a file to lines and text: compression, line ends, byte order marks, encodings.

Compression is told by a file's first bytes, not by its name.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from hclx.errors import ConfigError, require
from hclx.text.records import Reading, Unreadable, UnreadableRecordError, beginning

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")  # endings of names
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
# What the readers of compressed files raise at damage; an error of the disk has an `errno`.
DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD_BYTES = 4096
_SHOWN = {"utf-8": "UTF-8", "cp949": "CP949"}
_SHOWN |= dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be"), "UTF-16")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_HANGUL = re.compile("[가-힣\u1100-\u11ff]")  # syllables, and the letters of NFD
# Hyphens and breaks that are not seen, marks of direction, byte order marks within a text.
UNSEEN = "\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
UNSEEN += "\ufff9-\ufffb"
JOINERS = "\u200c\u200d"  # seen in emoji, and in scripts that spell with them
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # fillers of Hangul, the empty pattern of Braille
_NOTHING_SEEN = re.compile(f"[\\s{UNSEEN}{JOINERS}{BLANK_LETTERS}]*")


def is_compressed(path: str) -> bool:
    """Returns whether the name of a file ends as that of a compressed file does."""
    return path.lower().endswith(COMPRESSIONS)


def decompressed(file: BinaryIO, path: str) -> BinaryIO:
    """The bytes of a file, decompressed if they are compressed.

    Args:
      file: its bytes as they are on disk, at their beginning.
      path: its name: a file with the name of a compressed one whose first bytes are neither a
        compressed file's nor text counts as a damaged one.
    Raises:
      MissingExtraError: the file is of Zstandard, and pyarrow is not installed.
    """
    file = file if hasattr(file, "peek") else io.BufferedReader(file)
    head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")
    if not kind and head and is_compressed(path) and not _is_text(head):
        kind = next(kind for kind in COMPRESSIONS if path.lower().endswith(kind))
    if kind == ".gz":
        return gzip.GzipFile(fileobj=file)
    if kind == ".bz2":
        return bz2.BZ2File(file)
    if kind == ".xz":
        return lzma.LZMAFile(file)
    if kind == ".zst":
        require("pyarrow")
        import pyarrow  # an extra, which no other file of JSON lines or text needs

        return io.BufferedReader(pyarrow.CompressedInputStream(file, "zstd"), 1 << 16)
    return file


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return b"\0" not in head
    except UnicodeDecodeError:
        return head.startswith(_UTF_16_MARKS)


class TextFile:
    """The lines of a file as bytes of UTF-8 or of another encoding that holds ASCII.

    Attributes:
      encoding: of the lines.
      is_transcoded: the file has another, which does not hold ASCII.
    """

    def __init__(self, file: BinaryIO, reading: Reading = Reading()):
        """Looks at the first bytes.

        Args:
          file: decompressed bytes, at their beginning.
          reading: its `encoding` and `invalid` count, and how it names settings in advice.
        """
        self._file, self._reading, self._head = file, reading, b""
        encoding = reading.encoding
        is_utf_16 = encoding.lower().replace("_", "-") in ("utf-16", "utf16")
        try:
            self._head = file.peek(_HEAD_BYTES)[:_HEAD_BYTES]
        except DAMAGE as error:
            if getattr(error, "errno", None):
                raise
            # `lines` comes to the same damage
        if not encoding:
            encoding = "utf-16" if self._head.startswith(_UTF_16_MARKS) else "utf-8"
        elif is_utf_16 and not self._head.startswith(_UTF_16_MARKS):
            guess = guess_encoding(self._head)
            encoding = guess if guess.startswith("utf-16") else "utf-16-le"  # as browsers read it
        self.encoding = encoding
        self.is_transcoded = not _holds_ascii(encoding)
        if self.is_transcoded:
            self._file, self.encoding = io.BufferedReader(_Transcoded(file, encoding)), "utf-8"

    def lines(self, max_bytes: int | None = None) -> Iterator[tuple[int, bytes | Unreadable]]:
        """Lines with their numbers, from 1, without byte order marks; see `numbered_lines`."""
        for number, raw in numbered_lines(self._file, max_bytes):
            if isinstance(raw, bytes):  # files with marks may have been joined
                raw = raw.removeprefix(codecs.BOM_UTF8)
            yield number, raw

    def decode(self, raw: bytes) -> tuple[str, bool]:
        """Text of bytes of the file, and whether anything in it was replaced.

        Raises:
          UnreadableRecordError: the bytes are not of the encoding, and shall not be replaced.
        """
        try:
            return raw.decode(self.encoding), False
        except UnicodeDecodeError as error:
            if self._reading.invalid == "replace":
                return raw.decode(self.encoding, "replace"), True
            name = "UTF-8" if self.encoding == "utf-8" else self.encoding
            reason = f"invalid {name} at byte {error.start}"
            replace = self._reading.advise("invalid_utf8", "replace")
            advice = "mend the file" + (f", or {replace} (each as U+FFFD)" if replace else "")
            hint = self.hint(raw)
            raise UnreadableRecordError(f"{reason}{hint}", "" if hint else advice, True) from error

    def hint(self, raw: bytes) -> str:
        """The end of a reason: the encoding that the file seems to have, and how to name it; "" if
        nothing is known.

        Args:
          raw: a record of it.
        """
        name = guess_encoding(self._head if b"\0" in self._head else raw)
        if self._head.startswith(_UTF_16_MARKS):  # which decides
            name = "" if self.is_transcoded else "utf-16"
        if not name or name == self.encoding:  # half a character at the end is damage
            return ""
        convert = f"`iconv -f {name.upper()} -t UTF-8 FILE`"
        advice = self._reading.advise("encoding", name) or f"convert it with {convert}"
        if name == "utf-8" and self._reading.encoding:  # there may be files of both
            named = self._reading.encoding
            advice += f", and convert files of {named} with `iconv -f {named} -t utf-8 FILE`"
        return f", it reads as {_SHOWN[name]}: {advice}"


def guess_encoding(raw: bytes) -> str:
    """Guesses the encoding of Korean text that is not of the encoding that was expected.

    Returns:
      "utf-8", "cp949", "utf-16-le" or "utf-16-be", the first in which the bytes are valid and most
      letters beyond ASCII are Hangul; else "".
    """
    names = ("utf-16-le", "utf-16-be") if b"\0" in raw else ("utf-8", "cp949")
    for name in names:
        try:
            text = codecs.getincrementaldecoder(name)().decode(raw[:20_000])
        except UnicodeDecodeError:
            continue
        others, hangul = len(_NOT_ASCII.findall(text)), len(_HANGUL.findall(text))
        if hangul and 2 * hangul >= others:
            return name
    return ""


def check_encoding(name: str) -> None:
    """Refuses an encoding that Python does not know.

    Raises:
      ConfigError: names it.
    """
    try:
        "가".encode(name, "replace")
        b"".decode(name)
    except (LookupError, UnicodeError, TypeError) as error:
        raise ConfigError(
            f"encoding {name!r} is unknown; the Korean ones are utf-8, cp949, euc-kr, johab and"
            " utf-16"
        ) from error


def _holds_ascii(encoding: str) -> bool:
    ascii_bytes = bytes(range(32, 127)) + b"\t\r\n"
    try:
        return ascii_bytes.decode(encoding) == ascii_bytes.decode("ascii")
    except UnicodeDecodeError:
        return False


class _Transcoded(io.RawIOBase):
    """Bytes of another encoding as UTF-8; half a character at the end is an EOFError."""

    def __init__(self, file: BinaryIO, encoding: str):
        errors = "surrogatepass" if encoding.lower().startswith("utf") else "replace"
        self._file, self._encoding = file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._ready, self._is_done = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready and not self._is_done:
            raw = self._file.read(1 << 16)
            self._is_done = not raw
            try:
                text = self._decoder.decode(raw, final=self._is_done)
            except UnicodeError as error:  # utf-32 without a mark is no UnicodeDecodeError
                reason = getattr(error, "reason", error)
                raise EOFError(f"invalid {self._encoding}: {reason}") from error
            self._ready = text.encode("utf-8", "surrogatepass")
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n


def numbered_lines(
    file: BinaryIO, max_bytes: int | None = None
) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Lines with their numbers, from 1.

    Args:
      file: its bytes, not compressed.
      max_bytes: a longer line is unreadable, and is never held in memory.
    Yields:
      (number, line) pairs: the line as bytes with its newline, if it has one, or `Unreadable` in
      place of a line that is too long and at the point where a damaged compressed file ends.
    Raises:
      OSError: the disk or the network cannot be read, which is no damage.
    """
    number, size = 0, -1 if max_bytes is None else max_bytes + 1
    try:
        while line := file.readline(size):
            number += 1
            if max_bytes is None or len(line) <= max_bytes:
                yield number, line
                continue
            start = beginning(line)
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            reason, advice = f"a line of more than {max_bytes:,} bytes", "raise max_bytes"
            yield number, Unreadable(number, reason, start, advice)
    except DAMAGE as error:
        if getattr(error, "errno", None):
            raise
        reason = f"damaged or truncated here ({error}); nothing after this line was read"
        yield number + 1, Unreadable(number + 1, reason, advice="get the file again")


def is_blank(raw: bytes) -> bool:
    """Returns whether nothing of a line is seen: it holds white space, blank letters and zero-width
    characters, as the editors of some blogs write between paragraphs.

    Args:
      raw: the line in UTF-8.
    """
    raw = raw.strip()
    if not raw or raw[0] < 0x80:  # no such letter is ASCII
        return not raw
    return _NOTHING_SEEN.fullmatch(raw.decode("utf-8", "replace")) is not None
