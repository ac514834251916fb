"""A small corpus with a bit of everything: documents that stay, of each kind that goes, and files
that are damaged.
"""

import gzip
import json
import random
import unicodedata
from pathlib import Path

from hclx.corpus.settings import parse_settings

EVALUATION = {
    "quiz": [
        (
            "이 문장은 평가에만 나오는 질문이라서 배운 적이 있으면 안 됩니다.",
            "정답은 노란 우산입니다.",
        ),
        ("아주아주 짧은 질문이다",),
        ("네",),
    ]
}
SETTINGS = {
    "sources": {
        "news": {
            "input": "news/*.jsonl.gz",
            "licence": "CC0",
            "domain": "news",
            "max_bytes": 5_000,
        },
        "talk": {
            "input": "talk/*.txt",
            "split": "line",
            "rules": {"too_short": {"min": 10}},
            "domain": "cafe",
        },
    },
    "rules": {
        "mean_word": None,
        "top_2": None,
        "top_3": None,
        "top_4": None,
        "dup_5": None,
        "dup_10": None,
    },
    "part_bytes": 6_000,
    "contamination": {},
}
_WORDS = (
    "아침 저녁 시장 골목 바다 사람 이야기 나무 하늘 편지 노래 가게 학교 기차 여름 겨울 마음 생각"
    " 오래 천천히 다시 함께 멀리 조용히 걷다가 보았다 말했다 웃었다 돌아왔다 기다렸다".split()
)


def settings(**changes):
    """The settings, with some fields changed."""
    return parse_settings({**SETTINGS, **changes})


def sentence(rng, n=9):
    """n words that make no sense."""
    return " ".join(rng.choices(_WORDS, k=n)) + "."


def article(rng, n=8):
    """A document of n lines."""
    return "\n".join(sentence(rng) + " " + sentence(rng) for _ in range(n))


def write(folder: Path, n: int = 12) -> dict[str, str]:
    """Writes the raw files; id -> text of the documents that must stay whole, apart from masks."""
    rng, stay = random.Random(0), {}
    (folder / "news").mkdir(parents=True)
    (folder / "talk").mkdir()
    plain = [article(rng) for _ in range(n)]
    rows = [{"id": f"n{i}", "title": "제목", "text": text} for i, text in enumerate(plain)]
    stay.update({f"news/n{i}": text for i, text in enumerate(plain)})
    long = [sentence(rng, 60) for _ in range(3)]
    stay["news/long"] = "\n".join(long)
    near = [line.replace("다", "네", 1) for line in long]  # one syllable of each line
    first = [
        {"id": "short", "text": "짧다."},
        {"id": "english", "text": "This is an English document about nothing in particular. " * 4},
        {
            "id": "profane",
            "text": (
                "시발 진짜 이런 글을 왜 읽어야 하는지 모르겠다. "
                + "씨발 병신 새끼 " * 6
                + "라고 했다."
            ),
        },
        {"id": "laughing", "text": "이 이야기는 정말 재미있습니다 " + "ㅋ" * 80 + " 그렇지요."},
        {"id": "exact", "text": plain[0].replace(". ", "． ").replace(" ", "  ")},
        {"id": "near", "text": "\n".join(near)},
        {
            "id": "paragraph",
            "text": sentence(rng, 30) + "\n" + plain[2].split("\n")[4] + "\n" + sentence(rng, 30),
        },
        {"id": "eaten", "text": "\n".join(plain[3].split("\n")[2:5])},
        {
            "id": "leaked",
            "text": (
                sentence(rng, 20)
                + "\n"
                + EVALUATION["quiz"][0][0]
                + " "
                + EVALUATION["quiz"][0][1]
                + "\n"
                + sentence(rng, 20)
            ),
        },
        {
            "id": "short_leak",
            "text": sentence(rng, 30) + "\n아주아주 짧은 질문이다?\n" + sentence(rng, 30),
        },
    ]
    private = (
        sentence(rng, 30)
        + " 전화는 010-1234-5678로, 메일은 hong.gildong@naver.com에게. "
        + sentence(rng, 20)
    )
    stay["news/private"] = private
    # Of a copy that goes nothing may be missed elsewhere: this line stood before in `exact` alone.
    stay["news/respaced"] = (
        sentence(rng, 30) + "\n" + first[4]["text"].split("\n")[2] + "\n" + sentence(rng, 30)
    )
    stay["news/decomposed"] = unicodedata.normalize("NFD", sentence(rng, 40))
    stay["news/mojibake"] = sentence(rng, 40).replace(".", " – 끝.").replace("–", "â€“")
    rows += [
        {"id": "long", "text": stay["news/long"]},
        *first,
        *(
            {"id": name, "text": stay[f"news/{name}"]}
            for name in ("private", "respaced", "decomposed", "mojibake")
        ),
    ]
    half = len(rows) // 2
    lines = lambda some: "".join(
        json.dumps(row, ensure_ascii=False) + "\n" for row in some
    ).encode()
    (folder / "news" / "a.jsonl.gz").write_bytes(gzip.compress(lines(rows[:half]), mtime=0))
    bad = [
        b'{"id": 1}\n',
        b"not json\n",
        b'{"text": "\xff\xfe"}\n',
        b'{"text": "a\\u0000b"}\n',
        b'{"text": "' + b"x" * 6_000 + b'"}\n',
        b'{"text": ""}\n',
        b'{"text": "\\ud800"}\n',
    ]
    (folder / "news" / "b.jsonl.gz").write_bytes(
        gzip.compress(b"".join(bad) + lines(rows[half:]), mtime=0)
    )
    (folder / "news" / "c.jsonl.gz").write_bytes(b"")
    cut = gzip.compress(lines([{"id": f"c{i}", "text": article(rng)} for i in range(30)]), mtime=0)
    (folder / "news" / "d.jsonl.gz").write_bytes(cut[: len(cut) // 2])
    talk = [sentence(rng, 6) for _ in range(30)]
    (folder / "talk" / "t.txt").write_text("\n".join([*talk, talk[0]]) + "\n", encoding="utf-8")
    stay.update({f"talk/t.txt:{i}": text for i, text in enumerate(talk, 1)})
    return stay


GONE = {
    "news/short": "too_short",
    "news/english": "not_korean",
    "news/profane": "profanity",
    "news/laughing": "laughter",
    "news/exact": "exact_duplicate",
    "news/near": "near_duplicate",
    "news/eaten": "paragraph_duplicates",
    "news/leaked": "contaminated",
    "talk/t.txt:31": "exact_duplicate",
}
UNREADABLE = 8  # of b.jsonl.gz, and the place where d.jsonl.gz breaks off
