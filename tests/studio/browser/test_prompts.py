"""The start page and the list of prompts."""

import json

import pytest

from tests.helpers.browser import Composer
from tests.studio.browser.prompts import TRICKY, ask, content, new_prompt, show


def titles(page):
    return page.locator(".plain-list li .grow > a").all_inner_texts()


def prompts(page):
    return {prompt["id"]: prompt["title"] for prompt in ask(page, "GET", "prompts")["data"]}


def test_prompts_are_searched_by_their_titles(page):
    for title in ("Apple 소개", "사과 <img src=x onerror=alert(1)>"):
        new_prompt(page, title)
    show(page, "prompts")
    page.get_by_placeholder("제목으로 찾기").fill("apple")
    page.get_by_text("찾은 프롬프트 1개").wait_for()
    assert titles(page) == ["Apple 소개"]
    page.get_by_placeholder("제목으로 찾기").fill("<img")
    assert titles(page) == ["사과 <img src=x onerror=alert(1)>"]


def test_a_prompt_is_deleted_and_recovered_by_keys_alone(page):
    prompt_id = new_prompt(page, "지울 것")
    show(page, "prompts")
    page.get_by_role("button", name="‘지울 것’ 지우기").focus()
    page.keyboard.press("Enter")
    page.get_by_text("‘지울 것’ 프롬프트를 지웠습니다.").wait_for()
    assert prompt_id not in prompts(page)
    page.locator("button:focus", has_text="되살리기").wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="지울 것", exact=True).wait_for()
    assert prompts(page)[prompt_id] == "지울 것"
    page.locator("a:focus", has_text="지울 것").wait_for()


def test_a_prompt_is_duplicated(page):
    show(page, f"prompts/{new_prompt(page, '본디')}")
    show(page, "prompts")
    page.get_by_role("button", name="‘본디’ 복제").click()
    page.get_by_role("link", name="본디 (사본)", exact=True).wait_for()
    assert "본디 (사본)" in prompts(page).values()


def test_an_exported_prompt_is_imported_as_it_was(page, tmp_path):
    raw = content(directive=TRICKY.replace("{x}", "{{x}}"), sampling={"temperature": 0.3}) | {
        "n": 3
    }
    new_prompt(page, "내보낼 것", raw)
    show(page, "prompts")
    with page.expect_download() as download:
        page.get_by_role("button", name="‘내보낼 것’ 내보내기").click()
    path = tmp_path / "prompt.json"
    download.value.save_as(path)
    assert json.loads(path.read_text())["document"]["sampling"] == {"temperature": 0.3}
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("textbox", name="제목").wait_for()
    copied = ask(page, "GET", "prompts/" + page.url.split("/")[-1])
    assert (copied["title"], copied["content"]) == ("내보낼 것", raw)


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"schema": "other"}'])
def test_a_file_that_is_no_prompt_is_named(page, tmp_path, text):
    path = tmp_path / "다른 것.json"
    path.write_text(text)
    n_prompts = len(prompts(page))
    show(page, "prompts")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("다른 것.json에는 프롬프트가 없습니다.").wait_for()
    assert len(prompts(page)) == n_prompts


def test_a_prompt_of_the_gallery_begins_with_its_first_item(page):
    show(page, "")
    entry = next(
        entry for entry in ask(page, "GET", "gallery")["data"] if entry["slug"] == "shop-reply"
    )
    page.locator(".gallery").get_by_role("button", name=entry["title"]).click()
    page.get_by_text(entry["notes"]).wait_for()
    page.get_by_role("button", name="이걸로 시작하기").click()
    page.get_by_role("textbox", name="제목").wait_for()
    made = ask(page, "GET", "prompts/" + page.url.split("/")[-1])
    assert made["title"] == entry["title"] and made["content"]["item"] == entry["items"][0]
    assert made["content"]["document"] == entry["content"]["document"]


def test_a_sentence_becomes_a_prompt_that_says_that_it_was_generated(page, studio):
    studio.write = lambda prompt, seed: " 제목: 기분\n예시 1: 좋은 날 => 기쁨\n"
    show(page, "")
    field = page.get_by_role("textbox", name="만들고 싶은 것을 한 문장으로 적어 주세요")
    field.fill("하루를 기쁨과 슬픔으로 나눠 줘")
    page.reload()
    assert field.input_value() == "하루를 기쁨과 슬픔으로 나눠 줘"
    page.get_by_role("button", name="초안 만들기").click()
    page.get_by_role("textbox", name="제목").wait_for()
    made = ask(page, "GET", "prompts/" + page.url.split("/")[-1])["content"]["document"]
    assert list(made["choices"]) == ["기쁨", "슬픔"]
    assert page.locator(".tag").first.inner_text() == made["source"]


def test_enter_in_a_composition_makes_a_single_draft_of_the_whole_sentence(page, studio):
    studio.write = lambda prompt, seed: " 제목: 기분\n예시 1: 좋은 날 => 기쁨\n"
    show(page, "")
    page.get_by_label("만들고 싶은 것을 한 문장으로 적어 주세요").fill(
        "날씨를 맑음과 흐림으로 나눠 "
    )
    composer = Composer(page)
    composer.compose("ㅈ", "주", "줘")
    composer.press()
    composer.commit("줘")
    composer.press(composing=False)
    page.get_by_role("textbox", name="제목").wait_for()
    made = [title for title in prompts(page).values() if title.startswith("날씨를")]
    assert made == ["날씨를 맑음과 흐림으로 나눠 줘"]
