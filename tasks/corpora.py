"""Registers the Korean corpora and their mixtures.

`DataConfig.task_module` may name another module that registers its own in the same way.
"""

from importlib import resources

from hclx.tasks.common import add_corpus, data_files
from hclx.text.seqio_imports import seqio

SAMPLE = resources.files("hclx") / "data" / "sample" / "korean_sample.jsonl"

add_corpus("kowiki", data_files("corpus/kowiki/*.jsonl.gz"))  # Korean Wikipedia
add_corpus("law", data_files("corpus/law/*.jsonl.gz"))  # statutes in force
add_corpus("reviews", data_files("corpus/reviews/*.jsonl.gz"))  # movie reviews
add_corpus("comments", data_files("corpus/comments/*.jsonl.gz"))  # comments on news
add_corpus("sample", lambda: [str(SAMPLE)])  # shipped with the package, CC0

# HyperCLOVA's corpus by domain, in billions of tokens (Kim et al. 2021, table 1): Blog 273.6, Cafe
# 83.3, News 73.8, Comments 41.1, KiN 27.3, Modu 6.0, WikiEn and WikiJp 5.2, Others 51.5. Of these
# domains the corpora above cover comments (reviews are comments on films; they divide this domain's
# rate by their sizes, 60 MB and 3.5 MB), an encyclopaedia, and others (law). The sample has no
# share: it is so small that it would be learnt by heart.
seqio.MixtureRegistry.add(
    "hyperclova_ko",
    [
        ("reviews", 41.1 * 60 / 63.5),
        ("comments", 41.1 * 3.5 / 63.5),
        ("kowiki", 5.2),
        ("law", 51.5),
    ],
)

# Rates in megabytes of text, so that every corpus is read as often as the others.
seqio.MixtureRegistry.add(
    "all_ko", [("kowiki", 180.0), ("law", 38.0), ("reviews", 60.0), ("comments", 3.5)]
)
