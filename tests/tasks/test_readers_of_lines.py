"""Readers of files with a line a token or a sentence: files written by hand in the publishers'
formats, and malformed ones.
"""

import pytest

from hclx.errors import DataError
from hclx.tasks.readers import klue_tables, translation

COMMENTS = "## 토큰, 레이블 구분자 : \\t\n## 토큰 구분자 : \\n\n## 문장 구분자 : \\n\\n\n"


def tagged(guid, marked, text, tags):
    rows = "".join(f"{char}\t{tag}\n" for char, tag in zip(text, tags.split(), strict=True))
    return f"## {guid}\t{marked}\n{rows}\n"


NER = (
    COMMENTS
    + "## 컬럼명 : CHAR\tNE_TAG\n"
    + tagged(
        "klue-ner-v1_dev_00000-wikitree",
        "<3월:DT> <하늬:PS><군:LC>에",
        "3월 하늬군에",
        "B-DT I-DT O B-PS I-PS B-LC O",
    )
    + tagged("klue-ner-v1_dev_00001-nsmc", "# 굿!", "# 굿!", "O O O O")
)
DP = (
    COMMENTS
    + "## 칼럼명 : INDEX\tWORD_FORM\tLEMMA\tPOS\tHEAD\tDEPREL\n"
    + "## klue-dp-v1_dev_00000_wikitree\t아이가 작은 배를 띄운다.\n"
    + "1\t아이가\t아이 가\tNNG+JKS\t4\tNP_SBJ\n2\t작은\t작 은\tVA+ETM\t3\tVP_MOD\n"
    + "3\t배를\t배 를\tNNG+JKO\t4\tNP_OBJ\n4\t띄운다.\t띄우 ㄴ다 .\tVV+EF+SF\t0\tVP\n\n"
    + "## klue-dp-v1_dev_00001_airbnb\t좋다.\n1\t좋다.\t좋 다 .\tVA+EF+SF\t0\tVP\n\n"
)
FORMATS = {
    "ner": (klue_tables.read_klue_ner, NER, [
        ("하\tB-PS", "하\tB-PER", ":9: field 'NE_TAG': 'B-PER'"),
        ("월\tI-DT", "월\tI-TI", ":7: field 'NE_TAG': I-TI continues no TI"),
        ("늬\tI-PS", "늬\tI-PS\t", ":10: a line of CHAR, NE_TAG has 3 columns"),
        ("굿\tO\n", "", ":14: field 'text': '# 굿!', and its lines have '# !'"),
        ("## klue-ner-v1_dev_00000", "## 주석 klue-ner-v1_dev_00000", ":6: a line of CHAR, NE_TAG"),
    ]),
    "dp": (klue_tables.read_klue_dp, DP, [
        ("\t4\tNP_SBJ", "\t5\tNP_SBJ", ":6: field 'HEAD': '5' is no number from 0 to 4"),
        ("2\t작은", "3\t작은", ":7: field 'INDEX': '3'"),
        ("\t4\tNP_OBJ", "\tNP_OBJ", ":8: a line of INDEX"),
        ("\t0\tVP\n\n## klue-dp-v1_dev_00001", "\t0\t\n\n## klue-dp-v1_dev_00001",
         ":9: field 'DEPREL': empty"),
        ("1\t좋다.\t좋 다 .\tVA+EF+SF\t0\tVP\n", "", ":11: field 'text': no tokens follow"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(
    "read, content, before, after, message",
    [
        pytest.param(*entry[:2], *variant, id=f"{name}-{number}")
        for name, entry in FORMATS.items()
        for number, variant in enumerate(entry[2])
    ],
)
def test_a_malformed_line_is_refused_with_its_number(
    read, content, before, after, message, tmp_path
):
    path = tmp_path / "a_dev.tsv"
    path.write_text(content, encoding="utf-8")
    assert len(read(str(path))) == 2
    assert content.count(before) == 1
    path.write_text(content.replace(before, after), encoding="utf-8")
    with pytest.raises(DataError) as refused:
        read(str(path))
    assert f"{path}{message}" in str(refused.value)


def test_entities_are_spans_of_characters(tmp_path):
    path = tmp_path / "a_dev.tsv"
    path.write_text(NER, encoding="utf-8")
    first, second = klue_tables.read_klue_ner(str(path))
    assert first.fields == {"sentence": "3월 하늬군에"} and first.group == "wikitree"
    assert first.gold["entities"] == [[0, 2, "DT"], [3, 5, "PS"], [5, 6, "LC"]]
    assert first.answer == "3월:DT, 하늬:PS, 군:LC"
    assert (second.answer, second.gold["entities"]) == ("없음", [])
    assert second.gold["characters"] == "# 굿!"


def test_trees_have_a_head_and_a_relation_for_each_word(tmp_path):
    path = tmp_path / "a_dev.tsv"
    path.write_text(DP.rstrip("\n").replace("\n", "\r\n"), encoding="utf-8", newline="")
    first, second = klue_tables.read_klue_dp(str(path))
    assert first.fields == {
        "sentence": "아이가 작은 배를 띄운다.",
        "words": "1 아이가 2 작은 3 배를 4 띄운다.",
    }
    assert first.gold == {
        "heads": [4, 3, 4, 0],
        "deprels": ["NP_SBJ", "VP_MOD", "NP_OBJ", "VP"],
        "words": ["아이가", "작은", "배를", "띄운다."],
    }
    assert first.answer == "1→4:NP_SBJ 2→3:VP_MOD 3→4:NP_OBJ 4→0:VP"
    assert second.group == "airbnb"


def pairs(folder, korean="달이 떴다.\n별이 졌다.\n", english="The moon rose.\nA star set.\n"):
    (folder / "a.dev.ko").write_text(korean, encoding="utf-8")
    (folder / "a.dev.en").write_text(english, encoding="utf-8")
    return str(folder / "a.dev.ko")


def test_pairs_are_translated_both_ways(tmp_path):
    path = pairs(tmp_path)
    forth, back = translation.read_ko_en(path), translation.read_en_ko(path)
    assert [(item.fields, item.answers) for item in forth] == [
        ({"source": "달이 떴다."}, ("The moon rose.",)),
        ({"source": "별이 졌다."}, ("A star set.",)),
    ]
    assert [(item.fields["source"], item.answer) for item in back] == [
        ("The moon rose.", "달이 떴다."),
        ("A star set.", "별이 졌다."),
    ]


@pytest.mark.parametrize(
    "korean, english, message",
    [
        ("달이 떴다.\n\n", "The moon rose.\nA star set.\n", "a.dev.ko:2 is empty"),
        ("달이 떴다.\n별이 졌다.\n", " \nA star set.\n", "a.dev.en:1 is empty"),
        ("달이 떴다.\n", "The moon rose.\nA star set.\n", "a.dev.ko has 1 and .*a.dev.en has 2"),
        ("달이 떴다.\n별이 졌다.", "The moon rose.", "a.dev.ko has 2 and .*a.dev.en has 1"),
        ("달이 떴다.\n", "The moon rose.\n\n", "a.dev.en:2 is empty"),
    ],
)
def test_sentences_without_a_partner_are_refused(korean, english, message, tmp_path):
    path = pairs(tmp_path, korean, english)
    for read in (translation.read_ko_en, translation.read_en_ko):
        with pytest.raises(DataError, match=message):
            read(path)


def test_a_missing_partner_is_named(tmp_path):
    path = pairs(tmp_path)
    (tmp_path / "a.dev.en").unlink()
    with pytest.raises(DataError, match=r"a\.dev\.en does not exist, and .*a\.dev\.ko is its"):
        translation.read_ko_en(path)
