"""Labelled texts, augmentations and lines for tests of augmentation."""

from hclx.augment.augmentation import Augmentation
from hclx.augment.line_filters import Bounds
from hclx.augment.seeds import Seed
from hclx.augment.words import BUILT_IN, built_in_prompt
from hclx.infer import SamplingConfig
from tests.helpers.few_shot import REVIEWS

LABELS = {"0": "부정", "1": "긍정"}
SEEDS = tuple(Seed(f"s{n}", text, label) for n, (text, label) in enumerate(REVIEWS))
COMMANDS = (
    Seed("c0", "[내일](날짜) [서울](장소) 비 와?", "날씨"),
    Seed("c1", "[모레](날짜)는 추워?", "날씨"),
    Seed("c2", "[일곱 시](시간)에 깨워 줘", "알람"),
    Seed("c3", "[내일](날짜) 알람 꺼 줘", "알람"),
)


def augmentation(template="hypermix", labels=LABELS, seeds=SEEDS, bounds=Bounds(), **settings):
    """Returns an augmentation by a prompt that ships."""
    words = ("영화 평", "감정") if BUILT_IN[template] == "hypermix" else ("문장", "의도")
    document = built_in_prompt(template, *words, labels)
    settings = {"follows_grammar": False, "sampling": SamplingConfig(temperature=1.0), **settings}
    return Augmentation(BUILT_IN[template], document, labels, seeds, bounds=bounds, **settings)
