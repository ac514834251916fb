"""Long texts in parts: at blank lines, then line ends, sentences and spaces; nothing is lost."""

import random
import re

import pytest

from hclx.text.splitting import split_text


def test_parts_end_at_blank_lines_then_lines_then_anywhere():
    assert list(split_text("가" * 10, 4)) == ["가" * 4, "가" * 4, "가" * 2]
    assert list(split_text("짧다", 100)) == ["짧다"]
    text = "첫 문단이다.\n둘째 줄.\n\n셋째 문단이 여기 있다."
    assert list(split_text(text, 18)) == ["첫 문단이다.\n둘째 줄.", "셋째 문단이 여기 있다."]
    assert list(split_text("첫 줄이다 여기\n둘째 줄이다", 12)) == ["첫 줄이다 여기", "둘째 줄이다"]
    assert list(split_text("하나다. 둘이다 셋이다", 8)) == ["하나다.", "둘이다 셋이다"]


@pytest.mark.parametrize("max_chars", [1, 7, 100, 1000])
def test_no_character_but_white_space_between_parts_is_lost(max_chars):
    draw = random.Random(max_chars)
    text = "".join(draw.choice("가나다라. \n") for _ in range(5000))
    parts = list(split_text(text, max_chars))
    squeezed = lambda value: re.sub(r"\s", "", value)
    assert "".join(map(squeezed, parts)) == squeezed(text)
    assert all(part.strip() and len(part) <= max_chars for part in parts)
    if max_chars > 100:
        assert len(parts) < 2 * len(text) / max_chars + 1
