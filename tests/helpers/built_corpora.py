"""Building small corpora, and comparing the folders that come out."""

import hashlib
from pathlib import Path

from hclx.corpus.layout import CLEAN
from hclx.corpus.pipeline import Corpus
from hclx.corpus.runner import make_runner
from hclx.corpus.store import key_of
from tests.helpers import generated_corpus


def corpus(raw: Path, output: Path, workers: int = 1, **changes) -> Corpus:
    return Corpus(
        generated_corpus.settings(**changes),
        str(raw),
        str(output),
        make_runner(workers=workers),
        generated_corpus.EVALUATION,
    )


def raw_name(source: str, shown: str) -> str:
    """The name that the files of a raw file have in the folder of a corpus."""
    return f"{source}/{key_of(shown)[:12]}"


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder and the hash of its bytes."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def kept(built: Corpus) -> dict[str, str]:
    tables = [
        built.store.read_table(shard.file(CLEAN), ["doc_id", "text"]) for shard in built.shards
    ]
    return {row["doc_id"]: row["text"] for table in tables for row in table.to_pylist()}


def times(folder: Path) -> dict[str, int]:
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()
    }
