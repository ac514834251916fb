"""Trains a model for the corpus pipeline: python launch/train_filter.py --kind=quality --good=GLOB
--others=GLOB --output=FILE

`quality` learns to tell good documents from others; `perplexity` learns from good ones what text
looks like. The file goes into `models:` of a corpus file, and rules may then bound `quality.score`
or `perplexity.bits`.
"""

import itertools

import numpy as np
from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run
from hclx.text.documents import expand_globs, read_documents

KIND = flags.DEFINE_enum("kind", "quality", ["quality", "perplexity"], "What is trained.")
GOOD = flags.DEFINE_string(
    "good", None, "GLOB[,GLOB...] of .jsonl[.gz] with `text`, or .txt[.gz].", required=True
)
OTHERS = flags.DEFINE_string("others", "", "Of documents that are not good, for quality.")
OUTPUT = flags.DEFINE_string("output", None, "File to write, .npz.", required=True)
MAX_DOCUMENTS = flags.DEFINE_integer("max_documents", 20_000, "Of each kind.", lower_bound=10)
HELD_OUT = flags.DEFINE_integer(
    "held_out",
    10,
    "Every so manyth document measures the model and does not train it.",
    lower_bound=2,
)


def read(patterns: str) -> tuple[list[str], list[str]]:
    """Documents to train on, and those that are held out."""
    texts = [
        d.text
        for d in itertools.islice(
            read_documents(expand_globs(patterns), "replace"), MAX_DOCUMENTS.value
        )
    ]
    return [t for i, t in enumerate(texts) if i % HELD_OUT.value], texts[:: HELD_OUT.value]


def main(_):
    from hclx.corpus.quality_models import ByteModel, QualityModel

    good, held_out = read(GOOD.value)
    if KIND.value == "perplexity":
        model = ByteModel.train(good)
        print(
            f"{OUTPUT.value}: {np.mean(model.bits_per_byte(held_out)):.3f} bits a byte on"
            f" {len(held_out):,} documents that were held out"
        )
    elif not OTHERS.value:
        raise ConfigError(
            "--others is missing; a quality model learns from documents that are not good, too"
        )
    else:
        others, other_held_out = read(OTHERS.value)
        model = QualityModel.train(good, others)
        right = [(model.score(held_out) > 0.5).mean(), (model.score(other_held_out) <= 0.5).mean()]
        print(
            f"{OUTPUT.value}: of documents that were held out, it tells {right[0]:.1%} of the good"
            f" and {right[1]:.1%} of the others"
        )
    model.save(OUTPUT.value)


if __name__ == "__main__":
    run(main)
