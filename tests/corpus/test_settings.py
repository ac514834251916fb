"""The settings of a corpus: what a YAML file gives, and that errors name file, field and value."""

import dataclasses
import json
import math
import re
import subprocess
import sys

import pytest
import yaml

from hclx.corpus.mixing import check_target
from hclx.corpus.pipeline import Corpus
from hclx.corpus.quality_models import QualityModel
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import (
    CorpusSettings,
    MixSettings,
    NearSettings,
    Rule,
    SourceSettings,
    load_settings,
    parse_settings,
)
from hclx.corpus.settings_errors import check_names, locating
from hclx.errors import ConfigError, HclxError
from hclx.tasks.evaluation import SETS
from tests.conftest import ROOT
from tests.helpers.commands import environment

SOURCE = "sources: {a: {input: x}}\n"
DEFAULTS = yaml.safe_load((ROOT / "hclx/corpus/defaults.yaml").read_text(encoding="utf-8"))["rules"]


def parse(text: str) -> CorpusSettings:
    return parse_settings(yaml.safe_load(text))


def test_a_file_that_names_only_a_source_has_the_defaults():
    settings = parse(SOURCE)
    rules = {name: Rule(**rule) for name, rule in DEFAULTS.items()}
    assert settings == CorpusSettings({"a": SourceSettings("x", rules=rules)})
    assert list(settings.sources["a"].rules) == list(DEFAULTS)  # the order of the checks


def test_fields_have_the_types_of_their_annotations():
    settings = parse(
        "sources: {2021-01-01: {input: x, fields: {text: body}, epochs: 2, licence: 2024-05-01}}\n"
        "near: {rows: 4}\nparagraph: null\ncontamination: {tasks: [kmmlu, klue]}\n"
        "models: {quality: q.npz}\nmix: {shares: {a: 1}}\nrules: {digits: {max: .inf}}\n"
    )
    source = settings.sources["2021-01-01"]
    assert (source.fields, source.epochs, source.licence) == ({"text": "body"}, 2.0, "2024-05-01")
    assert type(source.epochs) is float and source.rules["digits"].max == float("inf")
    assert settings.near == NearSettings(rows=4) and settings.paragraph is None
    assert settings.contamination.tasks == ("kmmlu", "klue")
    assert settings.models == {"quality": "q.npz"} and settings.mix == MixSettings({"a": 1.0})


def test_settings_that_were_written_as_json_are_read_again():
    """In the order in which they were written: the order of sources and rules counts."""
    settings = parse("sources: {b: {input: x, rules: {digits: null}}, a: {input: y}}\nnear: null")
    text = json.dumps(dataclasses.asdict(settings))
    again = parse_settings(json.loads(text))
    assert again == settings and json.dumps(dataclasses.asdict(again)) == text


def test_sources_of_lines_have_defaults_of_their_own():
    settings = parse(
        "rules: {digits: {max: 0.5}}\n"
        "sources:\n"
        "  page: {input: x}\n"
        "  talk: {input: x, split: line, rules: {ellipsis: null}}"
    )
    page, talk = (settings.sources[name].rules for name in ("page", "talk"))
    assert page["too_short"] == Rule("length.chars", min=50)
    assert talk["too_short"] == Rule("length.alphanumerics", min=4)
    assert page["line_end"].min == 0.06 and talk["line_end"] is None and talk["ellipsis"] is None
    assert (page["digits"].max, talk["digits"].max) == (0.5, 0.5)
    assert list(page) == list(talk)


def test_a_bound_of_a_source_of_lines_is_all_that_is_needed():
    """It counts what the default counts, of every document; bounds of a rule that the defaults
    or the file switch off switch it on again.
    """
    rules = (
        parse(
            "rules: {digits: null}\nsources:\n  talk: {input: x, split: line, rules:"
            " {too_short: {min: 30}, line_end: {min: 0.5}, digits: {max: 0.9}}}"
        )
        .sources["talk"]
        .rules
    )
    assert rules["too_short"] == Rule("length.alphanumerics", min=30)
    assert rules["line_end"] == Rule(**{**DEFAULTS["line_end"], "min": 0.5})
    assert rules["digits"] == Rule(**{**DEFAULTS["digits"], "max": 0.9})


def test_a_rule_changes_by_name_for_the_file_and_then_for_a_source():
    settings = parse(
        "rules: {mean_word: {max: 20}, digits: null, mine: {attribute: pii.items, max: 3}}\n"
        "sources:\n"
        "  a: {input: x}\n"
        "  b: {input: x, rules: {mean_word: {min: 1}, digits: {attribute: a.b, min: 1}, mine: }}"
    )
    a, b = (settings.sources[name].rules for name in "ab")
    assert (a["mean_word"], a["digits"], a["mine"]) == (
        Rule("length.mean_word", 1.8, 20.0, DEFAULTS["mean_word"]["where"]),
        None,
        Rule("pii.items", max=3.0),
    )
    assert (b["mean_word"], b["digits"], b["mine"]) == (
        Rule("length.mean_word", 1.0, 20.0, DEFAULTS["mean_word"]["where"]),
        Rule("a.b", min=1.0),
        None,
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "the file must be `name: value` lines, and is None"),
        ("[1]", "the file must be `name: value` lines, and is [1]"),
        ("near: {}", "sources is missing"),
        ("sources: {}", "sources is empty; name at least one"),
        ("sources: 3", "sources must be `name: value` lines, and is 3"),
        ("sources: {a: 3}", "sources.a must be `name: value` lines, and is 3"),
        ("sources: {a: {}}", "sources.a.input is missing"),
        ("sources: {a: {input: 3}}", "sources.a.input must be a valid string, and is 3"),
        ("sources: {a/b: {input: x}}", "sources.a/b: a source's name is letters, digits, _ and -"),
        ("sources: {a: {input: x, rules: [3]}}", "sources.a.rules must be `name: value` lines"),
        (
            "sources: {a: {inputs: x}}",
            "line 1: sources.a.inputs is unknown; is it input?; sources.a has input, format, split,"
            " fields, licence, max_bytes, max_chars, html, empty_brackets, encoding, rules,"
            " domain, where, epochs, cap",
        ),
        (
            "sources: {a: {input: x, format: xml}}",
            "sources.a.format must be 'jsonl', 'text', 'parquet' or 'wikiextractor', and is 'xml'",
        ),
        (
            "sources: {a: {input: x, rules: {digits: {maxx: 3}}}}",
            "sources.a.rules.digits.maxx is unknown; is it max?; sources.a.rules.digits has"
            " attribute",
        ),
        (
            SOURCE + "seeds: 3",
            "line 2: seeds is unknown; is it seed?; the file has sources, models, seed, part_bytes,"
            " near, paragraph, contamination, mix",
        ),
        (
            SOURCE + "near: {bandz: 3}",
            "near.bandz is unknown; is it bands?; near has shingle, bands, rows",
        ),
        (SOURCE + "near: {rows: true}", "near.rows must be a valid integer, and is True"),
        (SOURCE + "near: {threshold: 2}", "near.threshold must be less than or equal to 1"),
        (SOURCE + "seed: 1.0", "seed must be a valid integer, and is 1.0"),
        (SOURCE + "seed: '1'", "seed must be a valid integer, and is '1'"),
        (SOURCE + "mix: null", "mix must be `name: value` lines, and is None"),
        (SOURCE + "mix: {shares: {a: -1}}", "mix.shares.a must be greater than or equal to 0"),
        (SOURCE + "models: {z: b}", "models.z must be 'quality' or 'perplexity', and is 'z'"),
        (SOURCE + "contamination: {tasks: ab}", "contamination.tasks must be a list, and is 'ab'"),
        (
            SOURCE + "contamination: {min_chars: 20}",
            "contamination needs min_chars <= ngram, and has 20 and 13",
        ),
        (SOURCE + "rules: [1]", "rules must be `name: value` lines, and is [1]"),
        (SOURCE + "rules: {digits: 3}", "rules.digits must be `name: value` lines, and is 3"),
        (SOURCE + "rules: {mine: {attribute: a.b}}", "sources.a.rules.mine needs min or max"),
        (SOURCE + "near: false", "or null, which switches it off, and is False"),
        (
            SOURCE + "rules: {digits: off}",
            "must be `name: value` lines, or null, which switches it off, and is False",
        ),
        (SOURCE + "seed: 9223372036854775808", "seed must be less than 9223372036854775808"),
        (
            SOURCE + "seed: 1\nrules:\n  elipsis: null",
            "line 4: rules.elipsis is unknown; is it ellipsis?; rules has damaged, ",
        ),
        (
            "sources:\n  a:\n    input: x\n    rules:\n      lineend: {max: 1}",
            "line 5: sources.a.rules.lineend is unknown; is it line_end?",
        ),
        (
            "sources:\n  a:\n    input: x\n    fields: {txt: content}",
            "line 4: sources.a.fields.txt is unknown; is it text?; sources.a.fields has id, text,",
        ),
        (
            SOURCE + "rules:\n  too_short: {min: 10, max: 5}",
            "line 3: sources.a.rules.too_short has min 10 above max 5, which removes every",
        ),
        ("sources: {a: {input: x, encoding: cp94}}", "encoding 'cp94' is unknown; the Korean ones"),
        ("sources: {a: {input: x, encoding: base64}}", "encoding 'base64' is unknown"),
        ("sources:\n  a: {input: x}\n  a: {input: y}", "line 3: a is there twice; remove one"),
        (
            "sources: {a: {input: x, max_chars: 2000000}}",
            "sources.a.max_chars is 2,000,000, so that the rule too_long (max 1,000,000) would",
        ),
    ],
)
def test_an_error_names_the_file_the_field_and_the_value(tmp_path, text, message):
    path = tmp_path / "corpus.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    assert re.match(rf"{re.escape(str(path))}: .*{re.escape(message)}", str(error.value))


FILE = """\
sources:
  a:
    input: a.txt
    domain: news
  b:
    input: b.txt
    domain: newz
    where: length.chars > 3
rules:
  mine:
    attribute: length.chars
    min: 1
    where: length.lines > 1
contamination:
  tasks:
    - nsmc
    - klue_nli
models: {quality: MODEL}
"""


@pytest.mark.parametrize(
    "right, wrong, line, message",
    [
        ("newz", "newz", 7, "sources.b.domain: mix.shares has no 'newz'; is it news.; it has blog"),
        ("input: b.txt", "input: c.txt", 6, "sources.b.input: .*/c.txt matches no file"),
        ("input: b.txt", "input: void", 6, "sources.b.input: .*/void is an empty folder$"),
        (
            "input: b.txt",
            "input: old",
            6,
            r"sources.b.input: .*/old is a corpus .* old/mixture/\*/\*.jsonl.gz",
        ),
        ("input: b.txt", "input: b.csv", 6, "sources.b: b.csv: its format cannot be told from"),
        ("input: b.txt", "input: /b.txt", 6, "sources.b.input: /b.txt is not below --input="),
        ("input: b.txt", "input: ., out", 6, "sources.b.input: . would read the files of --output"),
        (
            "chars > 3",
            "chrs > 3",
            8,
            "sources.b.where: no attribute 'length.chrs'; is it length.ch",
        ),
        ("chars > 3", "chars >", 8, "sources.b.where: 'length.chars >' is no expression: invalid"),
        ("chars > 3", "chars > ko", 8, "sources.b.where: .*: ko is neither an attribute"),
        ("lines > 1", "linse > 1", 13, "sources.a.rules.mine.where: no attribute 'length.linse'"),
        (": length.chars\n", ": length.char\n", 10, "sources.a.rules.mine: no attribute"),
        (
            "- klue_nli",
            "- klue_nil",
            17,
            "contamination.tasks.klue_nil is unknown; is it klue_nli.",
        ),
        ("- klue_nli", "- 3", 17, "contamination.tasks.1 must be a valid string, and is 3"),
        ("MODEL", "none.npz", 18, "models.quality: .*none.npz cannot be read"),
        ("MODEL", "a.txt", 18, "models.quality: .*a.txt cannot be read as a quality model"),
        ("input: b.txt", "input: ' , '", 6, "sources.b.input is empty; name files below --input"),
        ("chars > 3", "chars > -'a'", 8, "sources.b.where: .*-'a' is neither an attribute"),
        ("length.chars > 3", "1 < 2", 8, "sources.b.where: '1 < 2': 1 < 2 compares no attribute"),
        (
            "where: length.chars > 3",
            f"where: {'not ' * 9000}length.chars > 3",
            8,
            "sources.b.where: .*nested too deeply",
        ),
        ("where: length.chars > 3", "epochs: .inf", 8, "sources.b.epochs must be less than inf"),
        ("min: 1", "min: .nan", 10, "sources.a.rules.mine has a bound that is no number"),
    ],
)
def test_an_error_that_other_modules_find_names_the_line_too(tmp_path, right, wrong, line, message):
    """With the checks of launch/build_corpus.py, in its order."""
    for name in ("a.txt", "b.txt", "b.csv"):
        (tmp_path / name).touch()
    for name in ("void", "old/documents", "old/attributes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "old/settings.json").touch()
    path = tmp_path / "corpus.yaml"
    QualityModel.train(["가나다"] * 5, ["abc"] * 5).save(tmp_path / "q.npz")
    text = FILE.replace(right, wrong).replace("MODEL", str(tmp_path / "q.npz"))
    path.write_text(text.replace("newz", "newz" if wrong == "newz" else "news"), encoding="utf-8")
    with pytest.raises(HclxError, match=rf"^{re.escape(str(path))}: line {line}: {message}"):
        with locating(path):
            settings = load_settings(path)
            check_names(["contamination", "tasks"], settings.contamination.tasks, SETS)
            check_target(settings.sources, settings.mix, 1000)
            Corpus(settings, str(tmp_path), str(tmp_path / "out"), make_runner(workers=1))


@pytest.mark.parametrize(
    "field, values",
    {
        "near.shingle": (0, -1),
        "near.bands": (0, -14),
        "near.rows": (0, 1.5),
        "near.threshold": (0, 1.01),
        "paragraph.min_chars": (0,),
        "paragraph.max_share": (-0.1, 1.1),
        "paragraph.min_new": (0,),
        "contamination.coverage": (0, 1.1),
        "contamination.min_chars": (0,),
        "contamination.window": (0,),
        "contamination.max_share": (-0.1, 1.1),
        "contamination.max_pieces": (0,),
        "mix.max_epochs": (0, math.inf),
        "mix.temperature": (0,),
        "mix.bytes_per_token": (0, -4.5),
        "part_bytes": (0,),
        "sources.a.max_bytes": (0,),
        "sources.a.max_chars": (0,),
        "sources.a.epochs": (-1,),
        "sources.a.cap": (-1,),
    }.items(),
)
def test_a_number_outside_of_its_bounds_is_refused_by_its_name(field, values):
    for value in values:
        content = {"sources": {"a": {"input": "x"}}}
        *path, last = field.split(".")
        place = content
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
        with pytest.raises(ConfigError, match=rf"^{re.escape(field)} must be .*, and is {value}$"):
            parse_settings(content)


def test_a_mapping_may_take_over_two_others(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "rules: {mean_word: &a {max: 20}, digits: &b {min: 0.1}}\n"
        "sources:\n  a: {input: x, rules: {mean_word: {<<: *a, <<: *b}}}"
    )
    rule = load_settings(tmp_path / "c.yaml").sources["a"].rules["mean_word"]
    assert (rule.min, rule.max) == (0.1, 20)


def test_the_values_of_a_field_are_named_without_the_empty_one():
    with pytest.raises(ConfigError, match="a.split must be 'file', 'line' or 'blank_line', and is"):
        parse("sources: {a: {input: x, split: lines}}")


def test_what_is_no_file_is_no_yaml_either(tmp_path):
    with pytest.raises(ConfigError, match=r"corpus.yaml does not exist$"):
        load_settings(tmp_path / "corpus.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


@pytest.mark.parametrize("content", [b"a: [", b"\xff"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path, content):
    path = tmp_path / "corpus.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="corpus.yaml cannot be read as YAML: ") as error:
        load_settings(path)
    assert "line 1: " in str(error.value) or content != b"a: ["


def test_workers_need_not_import_pydantic():
    code = "import sys, hclx.corpus.settings; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)
