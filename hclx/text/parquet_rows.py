"""Rows of Parquet files as documents; the only module of this package that needs pyarrow."""

import bz2
import gzip
import itertools
import lzma
import shutil
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from hclx.errors import require
from hclx.text.decoding import DAMAGE
from hclx.text.formats import Parser, too_long
from hclx.text.records import FIELDS, Document, Unreadable, UnreadableRecordError

_ROWS = 256  # that are decoded together


def parquet_rows(file: BinaryIO, parser: Parser) -> Iterator[Document | Unreadable]:
    """Yields the rows of a file: see `hclx.text.formats.read_records`.

    Args:
      file: its bytes; those that cannot seek, of a file that is compressed once more, are copied to
        a temporary file.
      parser: makes a document of a row.
    Raises:
      MissingExtraError: pyarrow is not installed.
      OSError: the disk or the network cannot be read, which is no damage.
    """
    require("pyarrow")
    import pyarrow
    import pyarrow.parquet

    names, row = dict(parser.reading.fields), 0
    try:
        table = pyarrow.parquet.ParquetFile(_seekable(file))
        present = table.schema_arrow.names
        columns = [names.get(field, field) for field in ("id", "text", *FIELDS)]
        columns = [column for column in columns if column in present]
        lengths = None if names.get("text", "text") in columns else _text_lengths(table)
        for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
            cells = list(zip(batch.schema.names, batch.columns))
            for index in range(batch.num_rows):
                row += 1
                try:
                    if lengths is not None:
                        raise parser.without_text(present, lengths)
                    record = {column: _value(values[index]) for column, values in cells}
                    yield _document(record, parser, row)
                except UnreadableRecordError as error:
                    yield error.at(row)
    except (pyarrow.ArrowException, UnicodeDecodeError, *DAMAGE) as error:
        if getattr(error, "errno", None):
            raise
        message = (str(error).splitlines() or [type(error).__name__])[0]
        reason = f"damaged Parquet ({message}); nothing after this row was read"
        yield Unreadable(row + 1, reason, advice="get the file again")


def _seekable(file: BinaryIO) -> BinaryIO:
    is_compressed = isinstance(file, (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile))
    if file.seekable() and not is_compressed:
        return file
    copy = tempfile.TemporaryFile()
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


def _document(record: dict, parser: Parser, row: int) -> Document:
    text = record.get(dict(parser.reading.fields).get("text", "text"))
    max_bytes = parser.reading.max_bytes
    if max_bytes and isinstance(text, str) and len(text.encode("utf-8", "replace")) > max_bytes:
        raise too_long(max_bytes)
    return parser.document(record, row)


def _value(scalar):
    """A cell as Python has it; bytes, as some tools write text, are decoded."""
    try:
        value = scalar.as_py()
        return value.decode("utf-8") if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise UnreadableRecordError(f"invalid UTF-8 at byte {error.start}") from error


def _text_lengths(table) -> dict[str, float]:
    """Name of each column of text -> the length of its strings, on average over the first rows."""
    columns = [field.name for field in table.schema_arrow if _is_text(field.type)]
    lengths = {}
    for batch in itertools.islice(table.iter_batches(_ROWS, columns=columns), 1):
        for name, values in zip(batch.schema.names, batch.columns):
            try:
                lengths[name] = sum(len(_value(value) or "") for value in values) / batch.num_rows
            except UnreadableRecordError:
                continue  # bytes that are no text, such as a picture
    return lengths


def _is_text(kind) -> bool:
    kind = getattr(kind, "value_type", kind) if "dictionary" in str(kind) else kind
    return str(kind).removeprefix("large_").removesuffix("_view") in ("string", "binary")
