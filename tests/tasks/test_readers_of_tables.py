"""Readers of tables: files written by hand in the publishers' formats, and malformed ones."""

import gzip

import pytest
import scipy.linalg

from hclx.errors import DataError
from hclx.tasks.readers import hate_speech, knowledge, kobest, kor_nlu, nsmc, safety
from hclx.tasks.readers.records import csv_records, tsv_records

NSMC = 'id\tdocument\tlabel\n11\t배우들 연기가 "좋다"\t1\n12\t돈이 아깝다\t0\n13\t\t1\n'
BOOLQ = (
    "ID\tText\tQuestion\tAnswer\r\n"
    "1\t마을 앞 우물은 가뭄에도 마르지 않았다.\t우물이 말랐는가?\tFalse\r\n"
    "2\t장터는 닷새마다 열렸다.\t장터는 닷새에 한 번 열렸는가?\tTRUE\r\n"
)
COPA = (
    "ID\tsentence\tquestion\t1\t2\tAnswer\n"
    "1\t창문이 깨졌다.\t원인 \t공이 날아왔다.\t해가 졌다.\t1\n"
    "2\t비가 쏟아졌다.\t결과\t길이 말랐다.\t길이 젖었다.\t2\n"
)
HELLASWAG = (
    "context\tchoice1\tchoice2\tchoice3\tchoice4\tlabel\n"
    "아이가 연을 날린다. 바람이 멎는다.\t연이 떨어진다.\t연이 춤춘다.\t비가 온다.\t밤이 된다.\t0\n"
    "물이 끓는다.\t물을 얼린다.\t불을 켠다.\t물을 긷는다.\t면을 넣는다.\t3\n"
)
SENTINEG = "ID\tLabel\tText\n1\t1\t포장이 꼼꼼했어요\n2\t0\t다시는 안 삽니다\n"
WIC = (
    "ID\tTarget\tSENTENCE1\tDictionary 1\tLink 1\tSENTENCE2\tDictionary 2\tLink2\tANSWER\n"
    "1\t배\t[배]를 깎아 먹었다.\t1\thttp://a\t나루에 [배]가 닿았다.\t2\thttp://b\tFalse\n"
    "2\t길\t[길]이 넓다.\t1\thttp://a\t[길]을 건넜다.\t1\thttp://b\tTRUE\n"
)
KORNLI = (
    "sentence1\tsentence2\tgold_label\n"
    "소가 풀을 뜯는다.\t짐승이 먹고 있다\tentailment\n"
    "소가 풀을 뜯는다.\t소가 잔다.\tcontradiction\n"
)
KORSTS = (
    "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n"
    "main-news\tA\t2012\t0001\t3.000\t개가 짖는다.\t강아지가 짖고 있다.\n"
    "main-news\tA\t2012\t0002\t2.999\t개가 짖는다.\t개가 뛴다.\n"
)
HATE = (
    "comments\tcontain_gender_bias\tbias\thate\n"
    "오늘 방송 재미있네요\tFalse\tnone\tnone\n"
    "여자는 다 그래\tTrue\tgender\thate\n"
)
KOBBQ = (
    "sample_id\tlabel_annotation\tcontext\tquestion\tchoices\tbiased_answer\tanswer"
    "\tbbq_id\tbbq_category\tprediction\n"
    "age-001a-002-amb-bsd\tST\t형과 아우를 보았다.\t누가 느렸습니까?"
    "\t['형', '아우', '알 수 없음']\t형\t알 수 없음\t1.0\tAge\t\n"
    "age-001b-002-dis-cnt\tST\t형과 아우를 보았다. 아우가 빨랐다.\t누가 빨랐습니까?"
    "\t['형', '아우', '알 수 없음']\t아우\t아우\t\t\t\n"
)
KMMLU = (
    "question,answer,A,B,C,D,Category,Human Accuracy\n"
    '"다음 중, 봄에\n피는 꽃은? ",2,국화,진달래,코스모스,동백,생물,0.9\n'
    "물의 끓는점은?,4,0도,10도,50도,100도,화학,\n"
)
# Reader, name of the file, content, and replacements that make it malformed with the place that the
# error has to name.
FORMATS = {
    "nsmc": (nsmc.read_nsmc, "ratings_test.txt", NSMC, [
        ("\t1\n12", "\t2\n12", ":2: field 'label': '2' is none of 0, 1"),
        ("12\t돈", "12\t\t돈", ":3 has 4 columns"),
        ("아깝다\t0", "아깝다", ":3 has 2 columns"),
        ("\tlabel", "\tscore", ":1 has no column 'label'"),
        ("\n12\t", "\n \t", ":3: field 'id': empty"),
    ]),
    "boolq": (kobest.read_boolq, "dev.tsv", BOOLQ, [
        ("\tFalse", "\tfalse", ":2: field 'Answer'"),
        ("우물이 말랐는가?", "", ":2: field 'Question': empty"),
        ("\tText", "\ttext", ":1 has no column 'Text'"),
        ("\tTRUE", "", ":3 has 3 columns"),
        ("장터는 닷새마다 열렸다.", " ", ":3: field 'Text': empty"),
    ]),
    "copa": (kobest.read_copa, "dev.tsv", COPA, [
        ("\t1\n2", "\t3\n2", ":2: field 'Answer': '3'"),
        ("\t결과", "\t까닭", ":3: field 'question': '까닭'"),
        ("\t해가 졌다.", "\t", ":2: field '2': empty"),
        ("\tquestion\t1\t2", "\tquestion\t2\t3", ":1 has no column '1'"),
        ("비가 쏟아졌다.\t", "", ":3 has 5 columns"),
    ]),
    "hellaswag": (kobest.read_hellaswag, "dev.tsv", HELLASWAG, [
        ("\t3\n", "\t4\n", ":3: field 'label': '4'"),
        ("불을 켠다.", "", ":3: field 'choice2': empty"),
        ("\t비가 온다.", "", ":2 has 5 columns"),
        ("choice4", "choice5", ":1 has no column 'choice4'"),
        ("\t0\n", "\t1.0\n", ":2: field 'label': '1.0'"),
    ]),
    "sentineg": (kobest.read_sentineg, "dev.tsv", SENTINEG, [
        ("2\t0", "2\tO", ":3: field 'Label': 'O'"),
        ("다시는 안 삽니다", "", ":3: field 'Text': empty"),
        ("\tLabel", "\tlabel", ":1 has no column 'Label'"),
        ("1\t1\t", "1\t", ":2 has 2 columns"),
        ("꼼꼼", "꼼\t꼼", ":2 has 4 columns"),
    ]),
    "wic": (kobest.read_wic, "dev.tsv", WIC, [
        ("\tFalse", "\t0", ":2: field 'ANSWER': '0'"),
        ("\t길\t", "\t\t", ":3: field 'Target': empty"),
        ("SENTENCE2", "SENTENCE3", ":1 has no column 'SENTENCE2'"),
        ("\thttp://b\tTRUE", "\tTRUE", ":3 has 8 columns"),
        ("나루에 [배]가 닿았다.", "", ":2: field 'SENTENCE2': empty"),
    ]),
    "kornli": (kor_nlu.read_kornli, "xnli.dev.ko.tsv", KORNLI, [
        ("entailment", "-", ":2: field 'gold_label': '-'"),
        ("소가 잔다.", "", ":3: field 'sentence2': empty"),
        ("gold_label", "label", ":1 has no column 'gold_label'"),
        ("\tcontradiction", "", ":3 has 2 columns"),
        ("짐승이 먹고", "짐승이\t먹고", ":2 has 4 columns"),
    ]),
    "korsts": (kor_nlu.read_korsts, "sts-dev.tsv", KORSTS, [
        ("3.000", "5.1", ":2: field 'score': '5.1' is no number from 0 to 5"),
        ("2.999", "nan", ":3: field 'score': 'nan'"),
        ("강아지가 짖고 있다.", "", ":2: field 'sentence2': empty"),
        ("\tscore", "\tlabel", ":1 has no column 'score'"),
        ("main-news\tA\t2012\t0002", "main-news\tA\t2012", ":3 has 6 columns"),
    ]),
    "hate_speech": (hate_speech.read_hate_speech, "dev.tsv", HATE, [
        ("gender\thate", "gender\thateful", ":3: field 'hate': 'hateful'"),
        ("\tTrue", "\tyes", ":3: field 'contain_gender_bias': 'yes'"),
        ("오늘 방송 재미있네요", "", ":2: field 'comments': empty"),
        ("bias\thate\n", "bias\tlabel\n", ":1 has no column 'hate'"),
        ("\tFalse\tnone", "\tFalse", ":2 has 3 columns"),
    ]),
    "hate_speech_bias": (hate_speech.read_hate_speech_bias, "dev.tsv", HATE, [
        ("\tgender", "\tsex", ":3: field 'bias': 'sex'"),
        ("\tFalse", "\t", ":2: field 'contain_gender_bias': empty"),
        ("여자는 다 그래", "", ":3: field 'comments': empty"),
        ("\tbias", "\tBias", ":1 has no column 'bias'"),
        ("여자는", "여자는\t", ":3 has 5 columns"),
    ]),
    "kobbq": (safety.read_kobbq, "KoBBQ_test_samples.tsv", KOBBQ, [
        ("\t형\t알 수 없음\t1.0", "\t누나\t알 수 없음\t1.0", ":2: field 'biased_answer': '누나'"),
        ("\t아우\t아우\t", "\t아우\t\t", ":3: field 'answer': empty"),
        ("'형', '아우', '알 수 없음']\t형", "'형', '아우']\t형", ":2: field 'choices'"),
        ("001b-002-dis", "001b-002-amx", ":3: field 'sample_id'"),
        ("['형', '아우', '알 수 없음']\t아우", "__import__('os')\t아우", ":3: field 'choices'"),
    ]),
    "kmmlu": (knowledge.read_kmmlu, "Biology-test.csv", KMMLU, [
        (",4,0도", ",5,0도", ":4: field 'answer': '5' is no number from 1 to 4"),
        (",2,국화", ",둘,국화", ":2: field 'answer': '둘'"),
        ("물의 끓는점은?", "", ":4: field 'question': empty"),
        (",A,B", ",a,B", ":1 has no column 'A'"),
        ("피는 꽃은? \"", "피는 꽃은?", ":2 is no row of a table"),
    ]),
}  # fmt: skip
VARIANTS = [
    pytest.param(*entry[:3], *variant, id=f"{name}-{number}")
    for name, entry in FORMATS.items()
    for number, variant in enumerate(entry[3])
]


def written(folder, name, content):
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return str(path)


@pytest.mark.parametrize("read, name, content, before, after, message", VARIANTS)
def test_a_malformed_line_is_refused_with_its_file_and_line(
    read, name, content, before, after, message, tmp_path
):
    assert len(read(written(tmp_path, name, content))) >= 2
    assert content.count(before) == 1
    path = written(tmp_path, name, content.replace(before, after))
    with pytest.raises(DataError) as refused:
        read(path)
    assert f"{path}{message}" in str(refused.value)


def test_nsmc(tmp_path):
    items = nsmc.read_nsmc(written(tmp_path, "ratings_test.txt", NSMC))
    assert [(item.id, item.fields, item.answer) for item in items] == [
        ("11", {"document": '배우들 연기가 "좋다"'}, "1"),
        ("12", {"document": "돈이 아깝다"}, "0"),
        ("13", {"document": ""}, "1"),
    ]


def test_kobest_has_the_fields_of_the_harness(tmp_path):
    first = lambda read, content: read(written(tmp_path, "dev.tsv", content))[0]
    item = first(kobest.read_boolq, BOOLQ)
    assert item.fields == {
        "paragraph": "마을 앞 우물은 가뭄에도 마르지 않았다.",
        "question": "우물이 말랐는가?",
    }
    assert item.answer == "0" and item.id == "1"
    copa = kobest.read_copa(written(tmp_path, "dev.tsv", COPA))
    assert [(item.answer, item.fields["connective"]) for item in copa] == [
        ("0", "왜냐하면"),
        ("1", "그래서"),
    ]
    assert copa[0].fields == {
        "premise": "창문이 깨졌다.",
        "question": "원인",
        "connective": "왜냐하면",
        "alternative_1": "공이 날아왔다.",
        "alternative_2": "해가 졌다.",
    }
    item = first(kobest.read_hellaswag, HELLASWAG)
    assert item.answer == "0" and item.fields["ending_1"] == "연이 떨어진다."
    assert set(item.fields) == {"context", "ending_1", "ending_2", "ending_3", "ending_4"}
    item = first(kobest.read_sentineg, SENTINEG)
    assert (item.fields, item.answer) == ({"sentence": "포장이 꼼꼼했어요"}, "1")
    item = first(kobest.read_wic, WIC)
    assert item.answer == "0" and item.fields == {
        "word": "배",
        "context_1": "[배]를 깎아 먹었다.",
        "context_2": "나루에 [배]가 닿았다.",
    }


def test_both_spellings_of_true_count(tmp_path):
    answers = [item.answer for item in kobest.read_boolq(written(tmp_path, "dev.tsv", BOOLQ))]
    assert answers == ["0", "1"]


def test_kor_nlu(tmp_path):
    first, second = kor_nlu.read_kornli(written(tmp_path, "xnli.dev.ko.tsv", KORNLI))
    assert first.answer == "entailment" and first.fields["statement"] == "짐승이 먹고 있다."
    assert second.fields["statement"] == second.fields["hypothesis"] == "소가 잔다."
    items = kor_nlu.read_korsts(written(tmp_path, "sts-dev.tsv", KORSTS))
    assert [(item.answer, item.gold["similarity"]) for item in items] == [("1", 3.0), ("0", 2.999)]


def test_hate_speech(tmp_path):
    path = written(tmp_path, "dev.tsv", HATE)
    assert [item.answer for item in hate_speech.read_hate_speech(path)] == ["none", "hate"]
    biased = hate_speech.read_hate_speech_bias(path)
    assert [(item.answer, item.gold["gender_bias"]) for item in biased] == [
        ("none", False),
        ("gender", True),
    ]


def test_kobbq_has_every_choice_in_every_place(tmp_path):
    items = safety.read_kobbq(written(tmp_path, "KoBBQ_test_samples.tsv", KOBBQ))
    choices = ["형", "아우", "알 수 없음"]
    orders = [[item.fields[key] for key in "abc"] for item in items[:3]]
    assert orders == scipy.linalg.circulant(choices).tolist()  # as the publisher makes them
    for item in items:
        text_of = {key: item.fields[key.lower()] for key in "ABC"}
        is_first = item.id.startswith("age-001a")
        assert text_of[item.answer] == ("알 수 없음" if is_first else "아우")
        assert text_of[item.gold["biased"]] == ("형" if is_first else "아우")
        assert text_of[item.gold["unknown"]] == "알 수 없음"
        assert item.gold["ambiguous"] is is_first and item.gold["category"] == "age"
    assert len({item.id for item in items}) == 6


def test_kmmlu(tmp_path):
    first, second = knowledge.read_kmmlu(written(tmp_path, "Biology-test.csv", KMMLU))
    assert first.fields["question"] == "다음 중, 봄에\n피는 꽃은?" and first.group == "Biology"
    assert (first.answer, first.fields["B"], second.answer) == ("B", "진달래", "D")


def test_columns_may_stand_in_any_order_behind_a_byte_order_mark_in_a_gzipped_file(tmp_path):
    path = tmp_path / "a.tsv.gz"
    content = "\ufefflabel\tid\tdocument\r\n1\t7\t빗소리\u2028가 좋다\x85\r\n\r\n"
    path.write_bytes(gzip.compress(content.encode()))
    (item,) = nsmc.read_nsmc(str(path))
    assert (item.id, item.fields["document"], item.answer) == ("7", "빗소리\u2028가 좋다\x85", "1")


@pytest.mark.parametrize("read", [tsv_records, csv_records])
def test_a_file_of_another_encoding_or_a_damaged_one_is_refused(read, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes("id\n하나\n".encode() + "둘\n".encode("cp949"))
    with pytest.raises(DataError, match=r"a\.tsv:3 is not in UTF-8"):
        list(read(str(path), ("id",)))
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(b"id\n1\n")[:-6])
    with pytest.raises(DataError, match=r"a\.tsv\.gz is damaged"):
        list(read(str(packed), ("id",)))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.tsv:1 has no column 'id'"):
        list(read(str(path), ("id",)))
