"""Small runs of launch/pretrain.py, and what they leave."""

from hclx.train.metrics_writer import read_metrics
from hclx.train.timing import StepClock
from tests.helpers.commands import TINY, launch

FILES = {
    "cache",
    "checkpoints",
    "config.json",
    "events.jsonl",
    "goodput.json",
    "metrics.jsonl",
    "tensorboard",
    "tokenizer",
}

# all of a record that may differ between two runs
TIMES = {"tokens_per_second", "mfu", "mfu_formula", *StepClock.TIMES}


def numbers(model_dir):
    return [
        {name: value for name, value in record.items() if name not in TIMES}
        for record in read_metrics(model_dir)
    ]


def pretrain(model_dir, *bindings, **options):
    return launch("pretrain.py", *TINY, f"--model_dir={model_dir}", *bindings, **options)


def sharing(whole):
    return [
        f"--gin.DataConfig.tokenizer_dir={whole}/tokenizer",
        f"--gin.DataConfig.cache_dir={whole}/cache",
    ]
