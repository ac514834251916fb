"""docs/prompts.md shows what the command prints."""

import json
import re

from hclx.prompts import lint, print_prompt, prompt_from_json
from hclx.prompts.particles import PARTICLES
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")
CAFE = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])


def test_the_prompt_of_the_page_is_rendered_as_the_page_says():
    printed = re.search(r"\$ hclx prompt render cafe\.json (.*?)\n(.*?)```", PAGE, re.DOTALL)
    fields = dict(re.findall(r"--field=(\w+)='?([^'\n]*?)'?(?= --|$)", printed[1]))
    assert fields == {"메뉴": "커피", "말": "자리가 좁아 불편했어요."}
    document = prompt_from_json(CAFE)
    assert print_prompt.rendering(document, fields, None, False) == printed[2].removesuffix("\n")
    assert lint(document) == []


def test_the_page_has_all_fields_and_particles():
    schema = json.loads((ROOT / "hclx" / "prompts" / "prompt.schema.json").read_text("utf-8"))
    table = PAGE.partition("## The fields")[2].partition("##")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert names == schema["properties"].keys() - {"$schema"}
    section = PAGE.partition("## Particles")[2]
    for consonant, vowel in PARTICLES.values():
        assert f"{consonant}/{vowel}" in section
