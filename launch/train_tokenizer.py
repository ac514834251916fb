"""Trains a tokenizer: python launch/train_tokenizer.py --input='data/*.jsonl.gz' --output_dir=runs/tokenizer"""

import time

from absl import flags
from tqdm import tqdm

from hclx.launching import run
from hclx.text import train_tokenizer
from hclx.text.documents import expand_globs, read_documents

INPUT = flags.DEFINE_string("input", "", "GLOB[,GLOB...] of .jsonl[.gz] with `text`, or .txt[.gz].")
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
VOCAB_SIZE = flags.DEFINE_integer("vocab_size", 51_200, "Pieces, control symbols included; a multiple of 128.")
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "encode", "plain"], "Where morphemes matter: to learn merges, also to encode, or nowhere."
)
SAMPLE_RATE = flags.DEFINE_float("sample_rate", 1.0, "Share of the documents that is counted.")
SEED = flags.DEFINE_integer("seed", 0, "Of the sample.")
INVALID_UTF8 = flags.DEFINE_enum("invalid_utf8", "refuse", ["refuse", "replace"], "What to do with invalid UTF-8.")


def main(_):
    start = time.perf_counter()
    documents = read_documents(expand_globs(INPUT.value), INVALID_UTF8.value)
    tokenizer = train_tokenizer(
        (document.text for document in tqdm(documents, desc="read", unit=" documents", disable=None)),
        OUTPUT_DIR.value,
        vocab_size=VOCAB_SIZE.value,
        mode=MODE.value,
        sample_rate=SAMPLE_RATE.value,
        seed=SEED.value,
    )
    about = tokenizer.metadata
    print(
        f"{OUTPUT_DIR.value}: {tokenizer.vocab_size:,} pieces, mode {tokenizer.mode}, cut by {about['cutter']}, "
        f"from {about['documents']:,} documents of {about['bytes']:,} bytes in {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    run(main)
