"""The tasks of few-shot evaluation: `TASKS`, their prompts in prompts/TASK/TEMPLATE.json, and the
suites in suites/SUITE.json. It needs no seqio.
"""

import dataclasses
import glob
import os
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from hclx.errors import ConfigError, DataError
from hclx.evaluate.items import Item
from hclx.prompts import PromptDocument, load_prompt
from hclx.tasks.readers import (
    hate_speech,
    klue,
    klue_tables,
    knowledge,
    kobest,
    kor_nlu,
    nsmc,
    query_modification,
    questions,
    safety,
    translation,
)

PROMPTS = resources.files("hclx.tasks") / "prompts"


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """A task.

    Attributes:
      name: of the task, and of the folder of its prompts.
      splits: the publisher's name of a split -> its files, as a glob below `tasks/` of the data
        folder; they may be gzipped, with .gz behind their names. A part of the set that is not the
        publisher's test set has another name than test.
      read: the path of a file -> its items.
      metrics: names of `hclx.evaluate.metrics.METRICS`.
      main: the first of them that is looked at.
      chance: its value by guessing; None: there is no such value, or it depends on the labels.
      template: the name of the prompt that is used where none is asked for.
      test_split, shots_split: the splits whose items are answered, and are examples.
      shots, trials: how many examples, and how often they are drawn anew.
      draw: where examples are from: "trial" for the shots split, "own" for the item itself; see
        `hclx.evaluate.run_spec.RunSpec`.
      unanswerable: the answer of items that have none; "": there are no such items.
    """

    name: str
    splits: Mapping[str, str]
    read: Callable[[str], list[Item]]
    metrics: tuple[str, ...]
    chance: float | None = None
    template: str = "hclx"
    test_split: str = "dev"
    shots_split: str = "train"
    shots: int = 4
    trials: int = 3
    draw: str = "trial"
    unanswerable: str = ""

    @property
    def main(self) -> str:
        """The first metric."""
        return self.metrics[0]

    def files(self, data_dir: str, split: str) -> list[str]:
        """Returns the files of a split.

        Args:
          data_dir: the folder that holds `tasks/`.
          split: its name.
        Raises:
          ConfigError: the task has no such split.
          DataError: there are no such files.
        """
        if split not in self.splits:
            raise ConfigError(f"{self.name} has no split {split!r} but {', '.join(self.splits)}")
        paths = self._paths(data_dir, split)
        if not paths:
            others = [name for name in self.splits if self._paths(data_dir, name)]
            raise DataError(
                f"{self._pattern(data_dir, split)} does not exist: it holds the {split} split of"
                f" {self.name}; splits whose files are there: {', '.join(others) or 'none'}"
            )
        return paths

    def items(self, data_dir: str, split: str) -> tuple[Item, ...]:
        """Returns the items of a split, in the order of its files. An id that occurs again gets the
        number of its occurrence.

        Raises:
          ConfigError, DataError: as `files`, or an item is not as the format has it.
        """
        items = [item for path in self.files(data_dir, split) for item in self.read(path)]
        if not items:
            raise DataError(f"{self._pattern(data_dir, split)} has no items of {self.name}")
        return _numbered(items)

    def _paths(self, data_dir: str, split: str) -> list[str]:
        pattern = os.path.join(glob.escape(data_dir), "tasks", self.splits[split])
        plain = glob.glob(pattern, recursive=True)
        zipped = set(glob.glob(f"{pattern}.gz", recursive=True)) - {f"{path}.gz" for path in plain}
        return sorted({*plain, *zipped})

    def _pattern(self, data_dir: str, split: str) -> str:
        return os.path.join(data_dir, "tasks", self.splits[split])


def _numbered(items: list[Item]) -> tuple[Item, ...]:
    if len({item.id for item in items}) == len(items):
        return tuple(items)
    seen: Counter[str] = Counter()
    numbered = []
    for item in items:
        seen[item.id] += 1
        count = seen[item.id]
        numbered.append(item if count == 1 else dataclasses.replace(item, id=f"{item.id}#{count}"))
    return tuple(numbered)


def task(name: str) -> TaskSpec:
    """Returns a task. Raises ConfigError if it is unknown."""
    if name not in TASKS:
        raise ConfigError(f"no task {name!r}; known are {', '.join(TASKS)}")
    return TASKS[name]


def templates(name: str) -> tuple[str, ...]:
    """Returns the names of the prompts of a task. Raises ConfigError if it is unknown."""
    folder = PROMPTS / task(name).name
    return tuple(sorted(Path(file.name).stem for file in folder.iterdir()))


def task_prompt(name: str, template: str) -> PromptDocument:
    """Returns a prompt of a task. Raises ConfigError if one of the names is unknown."""
    known = templates(name)
    if template not in known:
        raise ConfigError(f"{name} has no template {template!r} but {', '.join(known)}")
    return load_prompt(PROMPTS / name / f"{template}.json")


def _splits(pattern: str, dev: str = "dev") -> dict[str, str]:
    """Returns splits, each in a file whose path has its name in place of the braces."""
    return {
        "train": pattern.format("train"),
        "dev": pattern.format(dev),
        "test": pattern.format("test"),
    }


# Guesses among classes of one size have about that macro F1, and that accuracy.
def _kobest(name: str, folder: str, read: Callable[[str], list[Item]], chance: float) -> TaskSpec:
    metrics = ("f1_macro", "accuracy")
    splits = _splits(f"kobest/{folder}/{{}}.tsv")
    return TaskSpec(f"kobest_{name}", splits, read, metrics, chance, shots=5)


def _klue(name: str, read: Callable[[str], list[Item]], metrics: tuple[str, ...], **rest):
    stem = {"ynat": "ynat", "wos": "wos"}.get(name, f"klue-{name}")
    kind = "tsv" if name in ("ner", "dp") else "json"
    splits = {split: f"klue/{stem}-v1.1/{stem}-v1.1_{split}.{kind}" for split in ("train", "dev")}
    return TaskSpec(f"klue_{name}", splits, read, metrics, **rest)


_KOBBQ = ("bias_accuracy_{}", "diff_bias_{}")
_FROM_DEV = {"shots_split": "dev"}  # so that the dev split, which is small, is all that it takes

TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            "nsmc",
            {
                "train": "nsmc/ratings_train.t[sx][vt]",
                "test": "nsmc/ratings_test.txt",
                "dev": "nsmc/ratings_test.tsv",  # another split than the publisher's
            },
            nsmc.read_nsmc,
            ("accuracy", "f1_macro"),
            chance=0.5,
            template="hyperclova",
            shots=70,
            trials=12,
        ),
        TaskSpec(
            "korquad",
            {split: f"korquad/KorQuAD_v1.0_{split}.json" for split in ("train", "dev")},
            questions.read_korquad,
            ("exact_match", "f1_character"),
            template="hyperclova",
            shots=4,
            trials=1,
            draw="own",
        ),
        TaskSpec(
            "ko_en",
            _splits("korean_english_news/*.{}.ko"),
            translation.read_ko_en,
            ("bleu_13a", "chrf"),
            template="hyperclova",
            **_FROM_DEV,
        ),
        TaskSpec(
            "en_ko",
            _splits("korean_english_news/*.{}.ko"),
            translation.read_en_ko,
            ("bleu_mecab", "bleu_13a", "chrf"),
            template="hyperclova",
            **_FROM_DEV,
        ),
        _klue(
            "ynat",
            klue.read_ynat,
            ("f1_macro", "accuracy"),
            template="hyperclova",
            shots=70,
        ),
        _klue("nli", klue.read_klue_nli, ("accuracy", "f1_macro"), chance=1 / 3, **_FROM_DEV),
        _klue(
            "sts",
            klue.read_klue_sts,
            ("f1_positive", "accuracy", "pearson"),
            template="hyperclova",
            shots=40,
            **_FROM_DEV,
        ),
        _klue("ner", klue_tables.read_klue_ner, ("entity_f1", "character_f1"), **_FROM_DEV),
        _klue("re", klue.read_klue_re, ("f1_micro_without", "auprc_macro", "accuracy"), shots=8),
        _klue(
            "dp", klue_tables.read_klue_dp, ("las", "uas", "las_macro", "uas_macro"), **_FROM_DEV
        ),
        _klue(
            "mrc",
            questions.read_klue_mrc,
            ("em_klue_mrc", "rouge_w"),
            shots=1,
            unanswerable=questions.UNANSWERABLE,
        ),
        _klue("wos", klue.read_klue_wos, ("joint_goal_accuracy", "slot_f1"), shots=2),
        TaskSpec(
            "query_modification",
            _splits("query_modification/{}.jsonl"),
            query_modification.read_query_modification,
            ("bleu_mecab", "bleu_13a", "exact_match"),
            template="hyperclova",
            test_split="test",
            shots=3,
        ),
        _kobest("boolq", "BoolQ", kobest.read_boolq, 0.5),
        _kobest("copa", "COPA", kobest.read_copa, 0.5),
        _kobest("hellaswag", "HellaSwag", kobest.read_hellaswag, 0.25),
        _kobest("sentineg", "SentiNeg", kobest.read_sentineg, 0.5),
        _kobest("wic", "WiC", kobest.read_wic, 0.5),
        TaskSpec(
            "kornli",
            {
                "train": "kor_nlu/KorNLI/*train.ko.tsv",
                "dev": "kor_nlu/KorNLI/xnli.dev.ko.tsv",
                "test": "kor_nlu/KorNLI/xnli.test.ko.tsv",
            },
            kor_nlu.read_kornli,
            ("accuracy", "f1_macro"),
            chance=1 / 3,
            **_FROM_DEV,
        ),
        TaskSpec(
            "korsts",
            _splits("kor_nlu/KorSTS/sts-{}.tsv"),
            kor_nlu.read_korsts,
            ("spearman", "pearson", "f1_positive"),
        ),
        TaskSpec(
            "hate_speech",
            {split: f"korean_hate_speech/{split}.tsv" for split in ("train", "dev")},
            hate_speech.read_hate_speech,
            ("f1_macro", "accuracy"),
        ),
        TaskSpec(
            "hate_speech_bias",
            {split: f"korean_hate_speech/{split}.tsv" for split in ("train", "dev")},
            hate_speech.read_hate_speech_bias,
            ("f1_macro", "accuracy"),
        ),
        TaskSpec(
            "kobbq",
            {"test": "kobbq/KoBBQ_test_samples.tsv"},
            safety.read_kobbq,
            (
                "accuracy",
                *(name.format(kind) for kind in ("ambiguous", "disambiguated") for name in _KOBBQ),
            ),
            chance=1 / 3,
            test_split="test",
            shots_split="test",
            shots=0,
            trials=1,
            template="kobbq",
        ),
        TaskSpec(
            "kosbi",
            _splits("korean_safety_benchmarks/KoSBi/kosbi_{}.json", dev="valid"),
            safety.read_kosbi,
            ("f1_macro", "accuracy"),
            **_FROM_DEV,
        ),
        TaskSpec(
            "square",
            _splits("korean_safety_benchmarks/SQuARe/question_{}.json", dev="valid"),
            safety.read_square,
            ("f1_macro", "accuracy"),
            **_FROM_DEV,
        ),
        TaskSpec(
            "kmmlu",
            _splits("kmmlu/**/*-{}.csv"),
            knowledge.read_kmmlu,
            ("accuracy",),
            chance=0.25,
            template="lm_eval",
            test_split="test",
            shots_split="dev",
            shots=5,
            trials=1,
        ),
        TaskSpec(
            "haerae",
            {"test": "haerae/**/*.jsonl"},
            knowledge.read_haerae,
            ("accuracy",),
            chance=0.2,
            template="lm_eval",
            test_split="test",
            shots_split="test",
            trials=1,
        ),
        *(
            TaskSpec(
                name,
                {"train": "click/**/*.json"},  # all of the set, which has one split of that name
                read,
                ("accuracy",),
                chance=chance,
                template="lm_eval",
                test_split="train",
                shots_split="train",
                trials=1,
            )
            for name, read, chance in (
                ("click", knowledge.read_click, 0.25),
                ("click_csat", knowledge.read_click_csat, 0.2),
            )
        ),
    )
}
