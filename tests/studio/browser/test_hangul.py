"""Hangul in the fields of the pages: Enter sends once, with the last syllable, and none is lost."""

import pytest

from tests.helpers.browser import Composer, new_prompt

CTRL = 2


@pytest.fixture
def chat(page, studio):
    """A field that sends by Enter, and `sent()`, what it has sent."""
    new_prompt(page, {"view": "chat"})
    field = page.get_by_role("textbox", name="메시지")
    field.focus()
    studio.prompts.clear()
    return field


def messages(page):
    page.wait_for_timeout(150)
    return page.locator(".bubble.user").all_inner_texts()


def test_enter_in_a_composition_sends_once_with_the_last_syllable(page, chat):
    composer = Composer(page)
    for syllable in "안녕하세":
        composer.type_syllable(syllable)
    composer.compose("ㅇ", "요")
    composer.press()
    composer.commit("요")
    page.wait_for_function("document.querySelectorAll('.bubble.user').length > 0")
    assert messages(page) == ["안녕하세요"]
    assert chat.input_value() == ""
    composer.press(composing=False)
    assert messages(page) == ["안녕하세요"]


def test_the_second_enter_that_some_systems_send_for_one_press_does_nothing(page, chat):
    composer = Composer(page)
    composer.compose("ㅎ", "하", "한")
    composer.press()
    composer.commit("한")
    composer.press(composing=False)
    page.wait_for_function("document.querySelectorAll('.bubble.user').length > 0")
    assert messages(page) == ["한"]


def test_enter_in_a_composition_of_japanese_chooses_and_sends_nothing(page, chat):
    composer = Composer(page)
    composer.compose("に", "にほん", "日本")
    composer.press()
    composer.commit("日本")
    page.wait_for_timeout(200)
    assert messages(page) == []
    assert chat.input_value() == "日本"
    composer.press(composing=False)
    page.wait_for_function("document.querySelectorAll('.bubble.user').length > 0")
    assert messages(page) == ["日本"]


def test_shift_enter_is_a_new_line_and_escape_takes_enter_back(page, chat):
    composer = Composer(page)
    page.keyboard.type("가")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("나")
    assert chat.input_value() == "가\n나"
    composer.compose("ㄷ", "다")
    composer.press()
    composer.press("Escape", 27)
    composer.commit("다")
    page.wait_for_timeout(200)
    assert messages(page) == []
    assert chat.input_value() == "가\n나다"


def test_a_field_that_is_left_in_a_composition_keeps_the_syllable_and_sends_nothing(page, chat):
    composer = Composer(page)
    composer.compose("ㅎ", "하", "한")
    page.get_by_role("textbox", name="말투와 역할").focus()
    page.wait_for_timeout(200)
    assert chat.input_value() == "한"
    assert messages(page) == []


def test_control_and_enter_run_a_prompt_with_the_syllable_that_is_composed(page, studio):
    new_prompt(page, {})
    studio.prompts.clear()
    field = page.get_by_role("textbox", name="문장", exact=True)
    field.focus()
    composer = Composer(page)
    composer.type_syllable("안")
    composer.compose("ㄴ", "녀", "녕")
    composer.press(modifiers=CTRL)
    composer.commit("녕")
    page.get_by_role("button", name="다시 실행").wait_for()
    assert studio.prompts == ["안녕\n감정:"]
    assert field.input_value() == "안녕"


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.long)])
def test_every_syllable_that_is_composed_stays(page, studio, count):
    new_prompt(page, {})
    field = page.get_by_role("textbox", name="문장", exact=True)
    field.focus()
    composer = Composer(page)
    syllables = [chr(0xAC00 + index) for index in range(0, 5 * count, 5)]
    for syllable in syllables:
        composer.compose(syllable)
        composer.commit(syllable)
    assert field.input_value() == "".join(syllables)
