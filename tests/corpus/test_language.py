"""Detection of languages, on texts written for this test; and texts that need no model."""

import subprocess
import sys

import pytest

from hclx.corpus.taggers import language
from hclx.corpus.taggers.text_stats import script
from hclx.corpus.text_batch import TextBatch
from tests.helpers.commands import environment
from tests.helpers.tagger_oracles import batched

# One story, told in each.
TOLD = {
    "en": (
        "The ferry leaves the island at dawn, and whoever sleeps too long has to wait until the"
        " evening. Yesterday the baker missed it again, so nobody had fresh bread, and the children"
        " laughed about it all day."
    ),
    "de": (
        "Die Fähre verlässt die Insel im Morgengrauen, und wer zu lange schläft, muss bis zum Abend"
        " warten. Gestern hat der Bäcker sie wieder verpasst, also gab es kein frisches Brot, und"
        " die Kinder lachten darüber."
    ),
    "fr": (
        "Le bac quitte l'île à l'aube, et celui qui dort trop longtemps doit attendre jusqu'au"
        " soir. Hier, le boulanger l'a encore manqué ; il n'y avait donc pas de pain frais, et les"
        " enfants en ont ri toute la journée."
    ),
    "es": (
        "El barco sale de la isla al amanecer, y quien duerme demasiado tiene que esperar hasta la"
        " noche. Ayer el panadero lo perdió otra vez, así que no hubo pan fresco, y los niños se"
        " rieron todo el día."
    ),
    "it": (
        "Il traghetto lascia l'isola all'alba, e chi dorme troppo a lungo deve aspettare fino a"
        " sera. Ieri il fornaio lo ha perso di nuovo, quindi non c'era pane fresco, e i bambini ne"
        " hanno riso tutto il giorno."
    ),
    "ru": (
        "Паром уходит с острова на рассвете, и тот, кто спит слишком долго, должен ждать до вечера."
        " Вчера пекарь снова опоздал на него, поэтому свежего хлеба не было, и дети смеялись над"
        " этим весь день."
    ),
    "uk": (
        "Пором відходить з острова на світанку, і той, хто спить занадто довго, мусить чекати до"
        " вечора. Учора пекар знову на нього запізнився, тож свіжого хліба не було, і діти сміялися"
        " з цього цілий день."
    ),
    "vi": (
        "Chuyến phà rời đảo lúc bình minh, ai ngủ quá lâu thì phải đợi đến tối. Hôm qua người thợ"
        " làm bánh lại lỡ chuyến, nên chẳng có bánh mì mới, và bọn trẻ cười về chuyện đó suốt cả"
        " ngày."
    ),
    "id": (
        "Kapal feri meninggalkan pulau saat fajar, dan siapa yang tidur terlalu lama harus menunggu"
        " sampai malam. Kemarin tukang roti ketinggalan lagi, jadi tidak ada roti segar, dan"
        " anak-anak menertawakannya sepanjang hari."
    ),
    "th": (
        "เรือข้ามฟากออกจากเกาะตอนรุ่งสาง ใครนอนนานเกินไปต้องรอจนถึงเย็น"
        " เมื่อวานคนทำขนมปังพลาดเรืออีกครั้ง จึงไม่มีขนมปังสด และเด็ก ๆ หัวเราะกันทั้งวัน"
    ),
    "ar": (
        "تغادر العبّارة الجزيرة عند الفجر، ومن ينام طويلا عليه أن ينتظر حتى المساء. أمس فاتت"
        " الخبّاز مرة أخرى، فلم يكن هناك خبز طازج، وضحك الأطفال من ذلك طوال اليوم."
    ),
    "ja": (
        "渡し船は夜明けに島を出るので、寝坊した人は夕方まで待たなければならない。"
        "昨日もパン屋が乗り遅れて、焼きたてのパンがなかった。"
    ),
    "zh": (
        "渡船天一亮就离开小岛，睡过头的人只好等到傍晚。昨天面包师又没赶上，所以谁也没有新鲜面包，"
        "孩子们笑了一整天。"
    ),
    "ko": (
        "나룻배는 동이 트면 섬을 떠나므로 늦잠을 잔 사람은 저녁까지 기다려야 한다. 어제도 빵집"
        " 주인이 배를 놓쳐서 갓 구운 빵이 없었다."
    ),
}
MIXED = (
    "이번 sprint에서는 backend의 response cache와 retry policy를 새로 고치고, dashboard에는 dark"
    " mode도 넣어서 금요일에 배포했다."
)
CODE = [
    "for i in range(10):\n    total += values[i]\nreturn total / len(values)\n",
    (
        '#include <stdio.h>\nint main(void) { for (int i = 0; i < 9; i++) printf("%d\\n", i * i);'
        " return 0; }"
    ),
    (
        "def f(x, y=0):\n  z = [a ** 2 for a in x if a > y]\n  return sum(z) + len(z)\n\nclass"
        " A(B):\n  def __init__(self):\n    super().__init__()\n"
    ),
    '{"a": 1, "bc": [2, 3], "def": {"gh": null, "ij": true}, "xs": ["q1", "q2"], "mn": false}',
    (
        '<div class="a b"><a href="/x/y.html"><img src="/i/p.png"'
        ' alt=""></a></div>\n<ul><li></li></ul>'
    ),
    "x0 = np.zeros((n, m)); x1 = np.ones_like(x0); y = (x0 @ x1.T) / np.sqrt(m); plt.plot(y[:, 0])",
]


def told(*texts: str) -> list[str]:
    return script(TextBatch.of(texts))["language"].tolist()


def test_a_story_is_in_the_language_that_it_was_written_in():
    assert told(*TOLD.values()) == list(TOLD)
    # eight words or so
    firsts = {
        code: text.split(",")[0]
        for code, text in TOLD.items()
        if code not in ("th", "ar", "ja", "zh", "ko")
    }
    assert told(*firsts.values()) == list(firsts)


def test_korean_among_english_words_is_korean():
    assert told(MIXED) == ["ko"] and script(TextBatch.of([MIXED]))["hangul"][0] < 0.5
    assert told(f"{TOLD['en']} 나룻배") == ["en"]


def test_code_and_tables_are_in_no_language():
    assert told(*CODE, "1,2,3\n4,5,6\n" * 50, "a1b2 c3d4 e5f6 " * 20) == ["und"] * 8


def test_too_few_letters_tell_nothing():
    nineteen, twenty = "Wer zu lange schläft, er", "Wer zu lange schläft, der"
    assert [sum(map(str.isalpha, text)) for text in (nineteen, twenty)] == [19, 20]
    assert told(nineteen, twenty) == ["und", "de"]


def test_a_long_text_is_told_by_its_beginning():
    assert told(TOLD["en"] * 6 + TOLD["de"] * 500, TOLD["de"] * 6 + TOLD["en"] * 500) == [
        "en",
        "de",
    ]


def test_the_language_does_not_depend_on_the_batch(sample_texts):
    texts = [
        *TOLD.values(),
        MIXED,
        *CODE,
        *(text * 300 for text in TOLD.values()),
        *sample_texts[:10],
        "",
        "x",
    ]
    alone = [told(text)[0] for text in texts]
    for seed in range(3):
        assert [code for batch in batched(texts, seed) for code in told(*batch)] == alone
    assert told(*reversed(texts)) == alone[::-1]


def test_what_the_scripts_settle_needs_no_model(monkeypatch, sample_texts):
    language._model.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    assert set(
        told(*sample_texts, MIXED, TOLD["ja"], TOLD["zh"], "", "too few letters", "1234 " * 99)
    ) == {"ko", "ja", "zh", "und"}
    with pytest.raises(ImportError):
        told(TOLD["en"])


_WITHOUT = """
import sys
from hclx.corpus.text_batch import TextBatch
from hclx.corpus.taggers import TAGGERS
assert "py3langid" not in sys.modules
sys.modules["py3langid"] = None  # to import it fails
print(*TAGGERS["script"](TextBatch.of(sys.argv[1:]))["language"])
"""


def test_the_library_is_loaded_by_the_first_text_that_needs_it():
    run = lambda *texts: subprocess.run(
        [sys.executable, "-c", _WITHOUT, *texts], env=environment(), capture_output=True, text=True
    )
    assert run(TOLD["ko"], TOLD["ja"], "").stdout == "ko ja und\n"
    assert "No module named 'py3langid" in run(TOLD["ko"], TOLD["en"]).stderr
