"""The Korean corpora, and the mixtures of them."""

from pathlib import Path

import seqio

import hclx
from tasks.common import add_corpus, data_files

SAMPLE = Path(hclx.__file__).parent / "data" / "sample" / "korean_sample.jsonl"

add_corpus("kowiki", data_files("corpus/kowiki/*.jsonl.gz"))  # Korean Wikipedia
add_corpus("law", data_files("corpus/law/*.jsonl.gz"))  # statutes in force
add_corpus("reviews", data_files("corpus/reviews/*.jsonl.gz"))  # movie reviews
add_corpus("comments", data_files("corpus/comments/*.jsonl.gz"))  # comments on news
add_corpus("sample", lambda: [str(SAMPLE)])  # what ships with the package, CC0

# HyperCLOVA's corpus by domain, in billions of tokens (Kim et al. 2021, table 1): Blog 273.6, Cafe
# 83.3, News 73.8, Comments 41.1, KiN 27.3, Modu 6.0, WikiEn and WikiJp 5.2, Others 51.5. Of these
# domains the corpora above cover comments (reviews are comments on films, 60 MB to the 3.5 MB of
# the rest: they share as they are large), an encyclopaedia, and others (law). The sample is too
# small for any share: it would only be learnt by heart.
seqio.MixtureRegistry.add(
    "hyperclova_ko",
    [
        ("reviews", 41.1 * 60 / 63.5),
        ("comments", 41.1 * 3.5 / 63.5),
        ("kowiki", 5.2),
        ("law", 51.5),
    ],
)

# Each corpus as often as the others: rates in megabytes of text.
seqio.MixtureRegistry.add(
    "all_ko", [("kowiki", 180.0), ("law", 38.0), ("reviews", 60.0), ("comments", 3.5)]
)
