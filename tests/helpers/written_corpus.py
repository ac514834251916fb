"""A small corpus, written by hand: for each rule of defaults.yaml a document that breaks it, and
what meets another one.
"""

import json
from importlib import resources
from pathlib import Path

import yaml

STAY = {
    "market": (
        "아침마다 시장 골목에는 생선을 파는 할머니가 나와 앉는다. 손님이 드문 날에도 웃음을 잃지"
        " 않고 지나가는 아이들에게 귤을 하나씩 쥐여 준다."
    ),
    "harbour": (
        "항구의 등대는 백 년 전에 세워졌다고 한다.\n안개가 짙은 밤이면 배들은 그 불빛만 보고"
        " 돌아온다.\n지금은 젊은 부부가 등대를 지킨다."
    ),
    "well": (
        "마을 한가운데 있는 우물은 가뭄에도 마르지 않아서 이웃 마을 사람들까지 물을 길으러 고개를"
        " 넘어 찾아오곤 했다.\n"
        "두레박 소리가 들리면 새벽이 온 것이라고 아버지는 말씀하셨다. 나는 그 소리를 들으며 이불"
        " 속에서 조금 더 뒤척였다.\n"
        "지금은 뚜껑을 덮어 두었지만 귀를 대면 물소리가 난다.\n아이들은 그 소리를 용이 우는"
        " 소리라고 믿었다.\n여름밤이면 모두 그 둘레에 모여 앉아 별을 세었다."
    ),
    "letter": (
        "답장이 늦어 미안합니다. 이사한 집의 전화는 010-1234-5678이고, 급한 일은"
        " letter@haneul-book.kr으로 알려 주시면 바로 읽겠습니다."
    ),
}
# Rule -> a document of which it is the first broken rule; too_long is lowered for it.
BROKEN = {
    "damaged": (
        "읽을 수 없는 바\ufffd이트는 \ufffd 이렇게 \ufffd 남는다\ufffd. 어디에서 잘\ufffd못"
        " 되었는지는 사람이 \ufffd 읽어도 알 수가 없다."
    ),
    "control": (
        "화면에 보이지 않는 글자가\x01 섞여\x02 들어온\x03 글이다. 프로그램이 잘못 만든"
        " 파일에서\x04 가끔 볼 수 있다고 한다."
    ),
    "html_page": (
        "<!DOCTYPE html>\n<html><head><title>등대</title></head><body>등대는 오늘도 바다를 비춘다."
        " 배들은 그 불빛만 보고 돌아온다. 지금은 젊은 부부가 등대를 지킨다.</body></html>"
    ),
    "html": (
        '<div class="menu"><a href="/main">처음</a><a href="/list">목록</a></div><p>등대는 오늘도'
        " 바다를 비춘다.</p>"
    ),
    "not_korean": (
        "The lighthouse was built a hundred years ago, and a young couple keeps it now."
        " 등대 이야기."
    ),
    "too_short": "너무 짧은 글이다.",
    "too_long": (
        "강물은 산을 돌아 바다로 가고 사람은 길을 따라 고향으로 간다. 나그네가 묻는다. 저 고개"
        " 너머에 주막이 있습니까. 노인은 웃으며 대답한다. 고개를 두 번 넘으면 큰 느티나무가 보일"
        " 터이니 거기서 왼쪽으로 꺾으시오. 해가 지기 전에 닿으려면 지금 떠나야 하오. 나그네는"
        " 고맙다는 말을 남기고 걸음을 재촉한다. 뒤에서 개 짖는 소리가 들리고, 굴뚝마다 저녁 연기가"
        " 오른다. 어느 집에서는 아이가 책을 읽고 어느 집에서는 다듬이 소리가 난다."
    ),
    "mean_word": (
        "나 는 참 잘 자 고 또 잘 먹 고 늘 잘 논 다 고 한 다 그 래 서 몸 이 크 다 고 한 다 그 런 데"
        " 키 는 좀 작 다."
    ),
    "no_letters": (
        "(((((( )))))) ------ ====== ****** ++++++ ;;;;;; :::::: ,,,,,, ###### @@@@@@ 뿐이다."
    ),
    "few_letters": (
        "표에 남은 것: ((( ))) --- === *** +++ ;;; ::: ,,, ### @@@ 뿐이라 읽을 것이 하나도"
        " 없었다고 한다."
    ),
    "digits": (
        "기록은 1923 4481 9902 7716 3350 순서로 남았고, 나머지는 불에 타서 모두 사라졌다고 한다."
        " 아무도 그 뜻을 모른다."
    ),
    "line_end": (
        "메뉴 안내 페이지\n오늘의 추천 상품 보기\n새로 들어온 소식 모아 보기\n고객 센터와 자주 묻는"
        " 질문\n회사 소개\n찾아오시는 길"
    ),
    "ellipsis": (
        "그날 밤의 일은 아무도 말하지 않았다…\n문은 잠겨 있었고 불은 꺼져 있었다…\n그리고 아침이"
        " 되자 모두가 떠났다.\n남은 사람은 나 혼자였다."
    ),
    "bullet": (
        "- 쌀을 씻어 삼십 분 동안 불린다.\n- 냄비에 물을 붓고 센 불로 끓인다.\n- 끓기 시작하면 불을"
        " 줄이고 뜸을 들인다."
    ),
    "dup_lines": (
        "문을 닫는다.\n불을 끈다.\n문을 닫는다.\n불을 끈다.\n아침이 올 때까지 창가에 앉아서"
        " 기다리다가 멀리서 들려오는 기차 소리에 천천히 일어나 다시 길을 떠나기로 마음을 먹었다."
    ),
    "dup_line_chars": (
        "산길은 눈에 덮여 보이지 않았다.\n바람은 밤새 불었다.\n우리는 천천히 걸었다.\n산길은 눈에"
        " 덮여 보이지 않았다.\n그래도 멈추지는 않았다."
    ),
    "dup_paragraphs": (
        "첫째 마당\n서리가 내린 아침이면 할아버지는 마당을 쓸고 장작을 패셨다.\n할머니는 부엌에서"
        " 콩을 볶으며 오래된 노래를 흥얼거리셨다.\n"
        "나는 그 냄새에 이끌려 이불 밖으로 발을 내밀곤 했다.\n\n쉬어 간다.\n\n둘째 마당\n장날이"
        " 되면 온 식구가 고개를 넘어 읍내로 나갔다.\n"
        "돌아오는 길에는 언제나 엿 한 가락이 손에 쥐여 있었다.\n달이 뜨면 개울물 소리가 더 크게"
        " 들렸다.\n\n쉬어 간다.\n\n쉬어 간다."
    ),
    "top_2": (
        "정말 좋은 아침에 정말 좋은 사람과 정말 좋은 노래를 듣고 정말 좋은 밥을 먹으니 정말 좋은"
        " 하루가 되었다고 그는 웃으며 말했다."
    ),
    "top_3": (
        "우리는 매일 아침 산을 오르며 하루를 시작한다. 비가 와도 매일 아침 산을 찾았고, 눈이 쌓인"
        " 날에도 매일 아침 산을 걸었다. 그래서인지 감기에 걸려 본 기억이 거의 없다고들 한다."
    ),
    "top_4": (
        "할머니는 옛날 깊은 산속 집에 호랑이가 살았다고 했고, 할아버지는 옛날 깊은 산속 집에"
        " 나무꾼만 있었다고 우겼다. 누구 말이 맞는지는 모르겠다고 어머니가 거들었다. 우리는 그저"
        " 웃었다."
    ),
    "top_short": (
        "안녕하십니까 여러분들께 봄, 안녕하십니까 여러분들께 비, 안녕하십니까 여러분들께 눈,"
        " 안녕하십니까 여러분들께 별, 안녕하십니까 여러분들께 달, 안녕하십니까 여러분들께 해,"
        " 안녕하십니까 여러분들께 산, 안녕하십니까 여러분들께 강, 안녕하십니까 여러분들께 꽃,"
        " 안녕하십니까 여러분들께 풀."
    ),
    "dup_5": (
        "봄이 오면 산에 올라 꽃을 보고 여름 오면 냇물 따라 배를 타며 가을 오면 감을 따서 볕에 널고"
        " 겨울 오면 불을 쬐며 옛이야기를 들었다. 지금은 다들 도시로 떠나 빈집만 남았지만 노인은"
        " 아직도 봄이 오면 산에 올라 꽃을 보고 여름 오면 냇물 따라 배를 타며 가을 오면 감을 따서"
        " 볕에 널고 겨울 오면 불을 쬐며 지내던 때를 떠올린다고 한다."
    ),
    "dup_10": (
        "눈이 온 들을 건너 학교 가던 길은 멀고 추워 손을 불며 걸어 다녔다고 삼촌은 말한다. 도시락은"
        " 난로 위에 올려 데웠고 운동장에서는 해가 질 때까지 공을 찼으며 집에 오면 숙제도 잊고"
        " 잠들었다. 그래도 눈이 온 들을 건너 학교 가던 길은 멀고 추워 손을 불며 걸어 좋았다."
    ),
    "dup_in_words": (
        "최고다최고다최고다최고다최고다최고다최고다최고다최고다최고다최고다최고다 소리만 저녁 내내"
        " 들렸다고 한다."
    ),
    "jamo": (
        "ㅁㄴ ㅂㅈ 오늘은 ㅊㅋ 정말 ㅅㄱ 수고가 ㄱㅅ 많았다고 ㅈㅅ 모두가 ㅂㅂ 서로에게 ㅎㅇ 인사를"
        " 나누며 ㅁㅈ 집으로 돌아갔다."
    ),
    "laughter": (
        "이야기가 너무 우스워서 다들 뒤로 넘어갔다"
        " ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 아직도 생각난다."
    ),
    "runs": (
        "우와아아아아아아아아아아아아아아아아아아아아아아아아아아아아아아아아아아 이렇게 큰"
        " 물고기는 처음 보았다고 소리쳤다."
    ),
    "spam": (
        "밤에는 온라인카지노 소식과 바카라사이트 주소를 묻는 글이 하루에도 여러 번 올라와서 게시판"
        " 주인이 골머리를 앓는다."
    ),
    "boilerplate": (
        "저작권자 표시가 있는 글은 무단전재 금지, 재배포 금지라고 적혀 있으니 그대로 옮겨 실으면 안"
        " 된다고 배웠습니다."
    ),
    "profanity": (
        "그 사람은 화가 나면 씨발 소리부터 나오는 버릇이 있어서 병신 같다는 말을 자주 듣고도 고치려"
        " 하지 않았다."
    ),
    "title_repeated": (
        "기차역의 하루\n새벽 첫차가 들어오면 역무원은 깃발을 들고 나선다.\n기차역의 하루\n밤이 깊어"
        " 마지막 손님이 내리고 나면 불이 하나씩 꺼지고 고요가 찾아온다."
    ),
}
# The documents are shorter than those that most rules judge, and break closer bounds.
DEFAULTS = yaml.safe_load(
    (resources.files("hclx.corpus") / "defaults.yaml").read_text(encoding="utf-8")
)["rules"]
RULES = {
    name: {"where": ""} for name, rule in DEFAULTS.items() if "where" in rule and name != "html"
}
for rule, bounds in {
    "too_long": {"max": 240},
    "few_letters": {"min": 0.55},
    "digits": {"max": 0.3},
    "ellipsis": {"max": 0.3},
    "dup_line_chars": {"max": 0.2},
    "control": {"max": 0.01},
    "top_2": {"max": 0.2, "where": "length.words < 30"},
    "top_3": {"max": 0.18},
    "top_4": {"max": 0.16},
    "dup_5": {"max": 0.3},
    "dup_10": {"max": 0.2},
    "dup_in_words": {"max": 0.5},
    "jamo": {"max": 0.2},
    "laughter": {"max": 0.3},
    "runs": {"max": 0.3},
    "title_repeated": {"max": 0.3},
}.items():
    RULES[rule] = {**RULES.get(rule, {}), **bounds}
MARKUP = "<script>alert('가나다라마바사아자차')</script>"
# Id -> (text, the stage and the rule that remove it, None where it stays); texts are put in this
# order.
DOCUMENTS: dict[str, tuple[str, str | None, str | None]] = {
    **{name: (text, None, None) for name, text in STAY.items()},
    **{rule: (text, "filter", rule) for rule, text in BROKEN.items()},
    '"><b>markup': (MARKUP, "filter", "too_short"),
    "spaced": (STAY["market"].replace(" ", "  "), "exact", "exact_duplicate"),
    "spaced_too": (STAY["market"].replace(" ", "\n"), "exact", "exact_duplicate"),
    "eaten": (STAY["well"].split("\n")[0], "paragraph", "paragraph_duplicates"),
    "quoting": (
        (
            f"{STAY['well'].split(chr(10))[0]}\n이 우물 이야기를 들을 때마다 나는 어릴 적 외갓집"
            " 마당에 있던 작은 샘을 떠올리게 된다."
        ),
        None,
        None,
    ),
    "nearly": (
        STAY["well"].replace("찾아", "걸어").replace("조금", "더욱"),
        "near",
        "near_duplicate",
    ),
}
TALK = [
    "반가워요, 여러분!",
    "네.",
    "오늘은 일찍 집에 갈게요.",
]  # a line a document; "네." is too short
QUARANTINE = [
    b'{"id": "no text"}\n',
    b"<img src=x onerror=alert(1)> is not JSON, and 010-9876-5432 is nobody's business\n",
    b'{"text": "\xff"}\n',
]
SETTINGS = {
    "sources": {
        "text": {"input": "text/*.jsonl", "licence": "CC0", "rules": RULES},
        "talk": {"input": "talk.txt", "split": "line", "rules": {"too_short": {"min": 5}}},
    }
}


def kept() -> dict[str, str]:
    """Source and id -> the text that must be kept."""
    texts = {f"text/{name}": text for name, (text, _, rule) in DOCUMENTS.items() if rule is None}
    texts["text/letter"] = (
        texts["text/letter"]
        .replace("010-1234-5678", "<전화번호>")
        .replace("letter@haneul-book.kr", "<이메일>")
    )
    texts["text/quoting"] = texts["text/quoting"].split("\n")[1]
    return texts | {"talk/talk.txt:1": TALK[0], "talk/talk.txt:3": TALK[2]}


def write(folder: Path) -> tuple[Path, Path]:
    """Writes the raw files and the settings; gives the folder of the raw files and the settings'
    path.
    """
    raw, config = folder / "raw", folder / "corpus.yaml"
    (raw / "text").mkdir(parents=True)
    rows = [
        {"id": name, "text": text, "title": text.split("\n")[0] if name == "title_repeated" else ""}
        for name, (text, _, _) in DOCUMENTS.items()
    ]
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    (raw / "text" / "a.jsonl").write_bytes(b"".join([lines[0], *QUARANTINE]))
    (raw / "text" / "b.jsonl").write_bytes(b"".join(lines[1:]))
    (raw / "talk.txt").write_text("\n".join(TALK) + "\n", encoding="utf-8")
    config.write_text(json.dumps(SETTINGS), encoding="utf-8")  # JSON is YAML
    return raw, config
