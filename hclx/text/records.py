"""Documents and what is no document, and the settings by which files are read."""

import dataclasses

FORMATS = ("jsonl", "text", "parquet", "wikiextractor")
SPLITS = ("file", "line", "blank_line")
HTML = ("keep", "strip")
EMPTY_BRACKETS = ("keep", "remove")
FIELDS = ("url", "title", "date", "licence")  # what a record may hold beside `id` and `text`
_BEGINNING_BYTES = 200


@dataclasses.dataclass(frozen=True)
class Reading:
    """The way in which the files of a source are read.

    Attributes:
      format: one of FORMATS; if it is "", the file's name decides.
      split: one of SPLITS: whether a document of a text file is the file, a line, or the text
        between blank lines; "" is "file".
      fields: (our name, name in the file) pairs, such as ("text", "content").
      licence: of documents that name none.
      max_bytes: of one line or document; longer ones are quarantined, and never held in memory.
      max_chars: longer documents of a corpus are split into parts, see `hclx.text.splitting`.
      html: one of HTML: whether tags of a corpus are left as they are, or stripped and entities
        decoded.
      empty_brackets: one of EMPTY_BRACKETS: whether brackets without content are kept or removed;
        those of the format wikiextractor always are removed.
      encoding: of JSON lines and text, such as "cp949"; "" is UTF-8, or UTF-16 with a byte order
        mark.
      invalid: "refuse" makes a record with bytes that are not of the encoding unreadable;
        "replace" replaces them by U+FFFD.
    """

    format: str = ""
    split: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    licence: str = ""
    max_bytes: int | None = 64 << 20
    max_chars: int = 500_000
    html: str = "keep"
    empty_brackets: str = "keep"
    encoding: str = ""
    invalid: str = "refuse"

    def advise(self, name: str, value: str) -> str:
        """Returns the words in which a message asks for a setting: those of a corpus are written
        in YAML. "" if whoever reads in this way has no such setting.

        Args:
          name: of an attribute, or "invalid_utf8".
          value: as it is written.
        """
        return f"write `{name}: {value}`"


@dataclasses.dataclass(frozen=True)
class Document:
    """A text and where it was found.

    Attributes:
      path: the file.
      line: where it begins, from 1; in a Parquet file, its row.
      id, url, title, date, licence: fields of its record; "" if the record has none.
      replaced: bytes of its record were replaced by U+FFFD.
    """

    text: str
    path: str = ""
    line: int = 0
    id: str = ""
    url: str = ""
    title: str = ""
    date: str = ""
    licence: str = ""
    replaced: bool = False


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A record that is no document.

    Attributes:
      line: where it begins, from 1; in a Parquet file, its row.
      reason: what is wrong with it.
      beginning: its first bytes as text.
      advice: what the owner of the file can do.
      is_of_file: the reason tells that the whole file is read in a wrong way.
    """

    line: int
    reason: str
    beginning: str = ""
    advice: str = dataclasses.field(default="", compare=False)
    is_of_file: bool = dataclasses.field(default=False, compare=False)


class UnreadableRecordError(Exception):
    """The reason why a record is no document, and the advice for the owner of its file; for
    `is_of_file` see `Unreadable`.
    """

    def __init__(self, reason: str, advice: str = "", is_of_file: bool = False):
        super().__init__(reason)
        self.advice, self.is_of_file = advice, is_of_file

    def at(self, line: int, raw: bytes = b"") -> Unreadable:
        """The record, which begins on this line (from 1) with these bytes."""
        return Unreadable(line, str(self), beginning(raw), self.advice, self.is_of_file)


def beginning(raw: bytes) -> str:
    """The first 200 bytes of a record as text, invalid UTF-8 as U+FFFD."""
    return raw[:_BEGINNING_BYTES].decode("utf-8", "replace")
