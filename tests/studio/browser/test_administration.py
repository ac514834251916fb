"""Keys in the Studio's pages: made with a limit, called, counted and revoked."""

import json
import urllib.error
import urllib.request

import pytest


def complete(studio, secret):
    """Asks the model by a key, as a program does; returns the status and the error's code."""
    body = {"model": "tiny", "prompt": "가", "max_tokens": 4}
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    address = f"{studio.url}/v1/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]["code"]


def test_a_key_is_made_with_a_limit_counted_and_revoked(page, studio):
    page.get_by_role("navigation").get_by_text("사람과 키").click()
    page.get_by_role("link", name="키", exact=True).click()
    page.get_by_role("button", name="키 만들기").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="이름").fill("누리집")
    dialog.get_by_text("한도", exact=True).click()
    dialog.get_by_role("textbox", name="하루에 요청").fill("2")
    dialog.get_by_role("button", name="키 만들기").click()
    secret = page.get_by_role("textbox", name="키", exact=True).input_value()
    page.get_by_role("button", name="옮겨 두었습니다").click()
    page.get_by_text("하루 2번").wait_for()
    assert secret not in page.content()
    statuses = [complete(studio, secret) for _ in range(3)]
    assert statuses == [(200, None), (200, None), (429, "rate_limit_exceeded")]
    page.get_by_role("button", name="누리집의 한도").click()
    dialog.get_by_role("textbox", name="하루에 요청").fill("")
    dialog.get_by_role("button", name="저장").click()
    page.get_by_text("하루 2번").wait_for(state="detached")
    assert complete(studio, secret) == (200, None)
    page.get_by_role("navigation").get_by_text("사용량").click()
    row = page.get_by_role("row", name="누리집")
    row.get_by_role("cell", name="3", exact=True).first.wait_for()  # requests that were answered
    page.get_by_role("navigation").get_by_text("사람과 키").click()
    page.get_by_role("link", name="키", exact=True).click()
    page.get_by_role("button", name="키 누리집 그만 쓰기").click()
    dialog.get_by_role("button", name="그만 쓰기").click()
    page.get_by_role("row", name="누리집").wait_for(state="detached")
    assert complete(studio, secret) == (401, "invalid_api_key")


@pytest.mark.parametrize("role", ["쓰는 사람", "만드는 사람"])
def test_a_role_opens_its_pages_and_no_others(page, studio, browser, role):
    page.get_by_role("navigation").get_by_text("사람과 키").click()
    page.get_by_role("button", name="사람 초대").click()
    page.get_by_role("textbox", name="이름").fill(f"{role} 하나")
    page.get_by_role("radio", name=role).check(force=True)
    page.get_by_role("button", name="초대 링크 만들기").click()
    guest = browser.new_context(locale="ko-KR").new_page()
    guest.goto(page.get_by_role("textbox", name="링크").input_value())
    guest.get_by_role("button", name="빈 프롬프트").wait_for()
    menu = guest.get_by_role("navigation", name="메뉴").get_by_role("link").all_inner_texts()
    assert ("튜닝" in menu) == (role == "만드는 사람") and "사람과 키" not in menu
    guest.goto(f"{studio.url}/studio/#/people")
    guest.get_by_text("이 화면을 열 권한이 없습니다").wait_for()
    assert guest.evaluate("fetch('api/people').then(answer => answer.status)") == 403
    guest.context.close()
