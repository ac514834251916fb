"""How fast a tokenizer encodes on one thread, beside the libraries that read its exports, and
whether all of them give the same ids.

    python tests/benchmarks/encoding.py --tokenizer_dir=runs/tokenizer --input='data/*.jsonl.gz'

The contenders take turns, some hundred documents each time. Time is that of the processor, and the
median of the rounds.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable

import sentencepiece
import tiktoken
import tokenizers
from absl import app, flags
from tiktoken.load import load_tiktoken_bpe

from hclx.text import load_tokenizer
from hclx.text.documents import expand_globs, read_documents
from hclx.text.export import HUGGING_FACE_FILE, TIKTOKEN_FILE, TIKTOKEN_PATTERN
from hclx.text.tokenizer import bytes_to_chars, to_bytes

TOKENIZER_DIR = flags.DEFINE_string(
    "tokenizer_dir", None, "Folder of a tokenizer with exports.", required=True
)
INPUT = flags.DEFINE_string("input", None, "GLOB[,GLOB...] of documents.", required=True)
MEGABYTES = flags.DEFINE_float("megabytes", 20.0, "Text to encode, from the first file on.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "How often all of it is encoded.")
_TOGETHER = 500  # documents


def contenders(folder: str) -> dict[str, Callable[[str], list[int]]]:
    """Name -> text -> ids; hclx comes first."""
    tokenizer = load_tokenizer(folder)
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    ranks = load_tiktoken_bpe(f"{folder}/{TIKTOKEN_FILE}")
    encoding = tiktoken.Encoding(
        "hclx", pat_str=TIKTOKEN_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    face = tokenizers.Tokenizer.from_file(f"{folder}/{HUGGING_FACE_FILE}")
    return {
        "hclx": tokenizer.encode,
        "sentencepiece, as hclx used it before": lambda text: processor.encode(
            bytes_to_chars(to_bytes(text)), out_type=int
        ),
        "tiktoken with the exported ranks": encoding.encode_ordinary,
        "Hugging Face tokenizers": lambda text: face.encode(text).ids,
    }


def main(_):
    size, texts = 0, []
    for document in read_documents(expand_globs(INPUT.value)):
        texts.append(document.text)
        size += len(to_bytes(document.text))
        if size >= MEGABYTES.value * 1e6:
            break
    encoders = contenders(TOKENIZER_DIR.value)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    order, different = deque(encoders.items()), set()
    for _ in range(ROUNDS.value):
        total = dict.fromkeys(encoders, 0.0)
        for some in (texts[i : i + _TOGETHER] for i in range(0, len(texts), _TOGETHER)):
            results = {}
            order.rotate(1)  # the first of a turn finds neither text nor memory in the caches
            for name, encode in order:
                begin = time.process_time()
                results[name] = [encode(text) for text in some]
                total[name] += time.process_time() - begin
            different |= {name for name, ids in results.items() if ids != results["hclx"]}

        for name, spent in total.items():
            seconds[name].append(spent)
    print(f"{len(texts):,} documents of {size / 1e6:.1f} MB")
    print("| | MB/s | hclx / it |\n|---|---:|---:|")
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, seconds["hclx"]))
        note = ", other ids" if name in different else ""
        print(f"| {name}{note} | {size / 1e6 / statistics.median(own):.1f} | {ratio:.2f} |")
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
