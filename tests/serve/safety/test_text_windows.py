"""Windows of a text do not depend on the parts in which it comes, and none is long."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.serve.safety.text_windows import LONGEST, WindowReader, windows_of

TEXTS = st.lists(
    st.sampled_from(
        ["가나다", "abc", " ", ". ", ".", "?!", "\n", '."', " 라", "마" * 90, "다." * 30]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 50))
def test_windows_are_those_of_the_whole_text(text, size):
    reader, windows = WindowReader(), []
    for position in range(0, len(text), size):
        windows += reader.feed(text[position : position + size])
    windows += reader.finish()
    assert windows == windows_of(text)
    assert "".join(windows) == text and all(0 < len(window) <= LONGEST for window in windows)


def test_a_sentence_is_a_window():
    text = '그가 "가자." 하고 말했다. 나는 3.5점을 주었다! 끝\n다음'
    assert windows_of(text) == [
        '그가 "가자." ',
        "하고 말했다. ",
        "나는 3.5점을 주었다! ",
        "끝\n",
        "다음",
    ]
    reader = WindowReader()
    assert list(reader.feed("말했다.")) == [] and list(reader.feed(" ")) == ["말했다. "]


def test_a_long_sentence_is_divided_at_a_space():
    windows = windows_of("가나다 " * 80)
    assert len(windows) == 2 and windows[0] == "가나다 " * 50
