"""Reads the texts of the evaluation sets, which decontamination removes from a corpus. It needs no
seqio.
"""

import dataclasses
import glob
import os
from collections.abc import Callable, Iterator

from hclx.errors import DataError
from hclx.tasks.readers.klue_tables import DP_COLUMNS, NER_COLUMNS, sentences, unmarked
from hclx.tasks.readers.records import csv_records, json_records, lines, tsv_records

Reader = Callable[[str], Iterator[dict[str, str]]]


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """A set that models are scored on.

    Attributes:
      path: its file (or files, as a glob) below `tasks/` of the data folder.
      fields: the fields of a row that hold text which was written for the set. What stood elsewhere
        before, such as a paragraph of Wikipedia with a question on it, is none of them: it belongs
        in a corpus, and who has read it does not know the answer (Brown et al. 2020, section 4).
      read: path -> the rows of a file.
    """

    path: str
    fields: tuple[str, ...]
    read: Reader

    def items(self, data_dir: str) -> list[tuple[str, ...]]:
        """Returns the texts of each example, in the order of the file.

        Args:
          data_dir: the folder that holds `tasks/`.
        Raises:
          DataError: the file is missing, or has no such field.
        """
        paths = sorted(glob.glob(os.path.join(glob.escape(data_dir), "tasks", self.path)))
        if not paths:
            raise DataError(
                f"{os.path.join(data_dir, 'tasks', self.path)} does not exist; decontamination"
                " needs every set that it is asked for, in the folder that --evaluation_dir or"
                " HCLX_DATA_DIR names"
            )
        try:
            return [
                tuple(str(row[field] or "") for field in self.fields)
                for path in paths
                for row in self.read(path)
            ]
        except KeyError as error:
            raise DataError(
                f"{paths[0]}: no field {error}; expected {', '.join(self.fields)}"
            ) from error


def _tsv(path: str) -> Iterator[dict[str, str]]:
    return (row.values for row in tsv_records(path, ()))


def _csv(path: str) -> Iterator[dict[str, str]]:
    return (row.values for row in csv_records(path, ()))


def _json(path: str) -> Iterator[dict[str, str]]:
    return (record.values for record in json_records(path))


def _lines(path: str) -> Iterator[dict[str, str]]:
    return ({"text": line} for _, line in lines(path) if line.strip())


def _klue_ner(path: str) -> Iterator[dict[str, str]]:
    """Yields the sentences without the marks of their entities."""
    return ({"text": unmarked(head.values["text"])} for head, _ in sentences(path, NER_COLUMNS))


def _klue_dp(path: str) -> Iterator[dict[str, str]]:
    return ({"text": head.values["text"]} for head, _ in sentences(path, DP_COLUMNS))


def _conllu(path: str) -> Iterator[dict[str, str]]:
    return (
        {"text": line.removeprefix("# text = ")}
        for _, line in lines(path)
        if line.startswith("# text = ")
    )


_PAIR = ("sentence1", "sentence2")
SETS: dict[str, EvaluationSet] = {
    "nsmc": EvaluationSet("nsmc/ratings_test.tsv.gz", ("document",), _tsv),
    "klue_nli": EvaluationSet("klue/klue-nli-*/*_dev.json", ("hypothesis",), _json),
    "klue_sts": EvaluationSet("klue/klue-sts-*/*_dev.json", _PAIR, _json),
    "klue_ner": EvaluationSet("klue/klue-ner-*/*_dev.tsv", ("text",), _klue_ner),
    "klue_dp": EvaluationSet("klue/klue-dp-*/*_dev.tsv", ("text",), _klue_dp),
    "kobest_boolq": EvaluationSet("kobest/BoolQ/dev.tsv", ("Question",), _tsv),
    "kobest_copa": EvaluationSet("kobest/COPA/dev.tsv", ("sentence", "1", "2"), _tsv),
    "kobest_hellaswag": EvaluationSet(
        "kobest/HellaSwag/dev.tsv", ("context", "choice1", "choice2", "choice3", "choice4"), _tsv
    ),
    "kobest_sentineg": EvaluationSet("kobest/SentiNeg/dev.tsv", ("Text",), _tsv),
    "kobest_wic": EvaluationSet("kobest/WiC/dev.tsv", ("SENTENCE1", "SENTENCE2"), _tsv),
    "korsts": EvaluationSet("kor_nlu/KorSTS/sts-dev.tsv", _PAIR, _tsv),
    "xnli_ko": EvaluationSet("kor_nlu/KorNLI/xnli.dev.ko.tsv", _PAIR, _tsv),
    "korean_english_news": EvaluationSet("korean_english_news/*.dev.ko", ("text",), _lines),
    "chatbot_data": EvaluationSet("chatbot_data/ChatbotData.csv", ("Q", "A"), _csv),
    "question_pair": EvaluationSet(
        "question_pair/kor_Pair_test.csv", ("question1", "question2"), _csv
    ),
    "korean_hate_speech": EvaluationSet("korean_hate_speech/dev.tsv", ("comments",), _tsv),
    "kosbi": EvaluationSet(
        "korean_safety_benchmarks/KoSBi/kosbi_valid.json.gz", ("context", "sentence"), _json
    ),
    "square": EvaluationSet(
        "korean_safety_benchmarks/SQuARe/question_valid.json.gz", ("question",), _json
    ),
    "kobbq": EvaluationSet("kobbq/KoBBQ_test_samples.tsv", ("context", "question"), _tsv),
    "ud_kaist": EvaluationSet("ud_korean_kaist/*-dev.conllu.gz", ("text",), _conllu),
    "ud_gsd": EvaluationSet("ud_korean_gsd/*-dev.conllu.gz", ("text",), _conllu),
}


def evaluation_items(names: tuple[str, ...], data_dir: str) -> dict[str, list[tuple[str, ...]]]:
    """Returns the texts of each example, by set.

    Args:
      names: of SETS; if empty, all of them.
      data_dir: the folder that holds `tasks/`.
    Raises:
      DataError: a name is unknown, or a set cannot be read.
    """
    unknown = [name for name in names if name not in SETS]
    if unknown:
        raise DataError(f"no evaluation set {unknown[0]!r}; known are {', '.join(SETS)}")
    return {name: SETS[name].items(data_dir) for name in names or SETS}
