"""The settings of a corpus: what a YAML file gives, and that errors name file, field and value."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest
import yaml

from hclx.corpus.settings import (
    CorpusSettings,
    MixSettings,
    NearSettings,
    Rule,
    SourceSettings,
    load_settings,
    parse_settings,
)
from hclx.errors import ConfigError
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


def test_a_rule_changes_by_name_for_the_file_and_then_for_a_source():
    settings = parse(
        "rules: {mean_word: {max: 20}, digits: null, mine: {attribute: pii.items, max: 3}}\n"
        "sources:\n"
        "  a: {input: x}\n"
        "  b: {input: x, rules: {mean_word: {min: 1}, digits: {attribute: a.b, min: 1}, mine: }}"
    )
    a, b = (settings.sources[name].rules for name in "ab")
    assert (a["mean_word"], a["digits"], a["mine"]) == (
        Rule("length.mean_word", 2.2, 20.0),
        None,
        Rule("pii.items", max=3.0),
    )
    assert (b["mean_word"], b["digits"], b["mine"]) == (
        Rule("length.mean_word", 1.0, 20.0),
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
            "sources.a.inputs is unknown; sources.a has input, format, split, fields, licence,"
            " max_bytes, html, empty_brackets, rules, domain, where, epochs, cap",
        ),
        (
            "sources: {a: {input: x, format: xml}}",
            "sources.a.format must be '', 'jsonl', 'text', 'parquet' or 'wikiextractor', and is"
            " 'xml'",
        ),
        (
            "sources: {a: {input: x, rules: {digits: {maxx: 3}}}}",
            "sources.a.rules.digits.maxx is unknown; sources.a.rules.digits has attribute",
        ),
        (
            SOURCE + "seeds: 3",
            "seeds is unknown; the file has sources, models, seed, part_bytes, near, paragraph,"
            " contamination, mix",
        ),
        (SOURCE + "near: {bandz: 3}", "near.bandz is unknown; near has shingle, bands, rows"),
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
    ],
)
def test_an_error_names_the_file_the_field_and_the_value(tmp_path, text, message):
    path = tmp_path / "corpus.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    assert re.match(rf"{re.escape(str(path))}: .*{re.escape(message)}", str(error.value))


@pytest.mark.parametrize("content", [b"a: [", b"\xff", None])
def test_a_file_that_is_no_yaml_is_refused(tmp_path, content):
    path = tmp_path / "corpus.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="corpus.yaml cannot be read as YAML: "):
        load_settings(path)


def test_workers_need_not_import_pydantic():
    code = "import sys, hclx.corpus.settings; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)
