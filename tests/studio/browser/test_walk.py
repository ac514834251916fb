"""The Studio as people walk through it: they write, run, save, share, and make apps of prompts."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.helpers.browser import new_prompt, open_part, save_version, written
from tests.helpers.tuning_service import until

GREETING = " 어서 오세요, 손님. 무엇을 도와드릴까요?"


def run_whole(page, name="실행"):
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="다시 실행").wait_for()
    return written(page).strip()


def test_an_empty_prompt_is_written_run_stopped_undone_and_done_again(page, studio):
    page.get_by_role("button", name="빈 프롬프트").click()
    page.get_by_role("textbox", name="제목", exact=True).fill("인사")
    page.get_by_role("textbox", name="지시", exact=True).fill("손님에게 공손하게 인사합니다.\n")
    page.get_by_role("textbox", name="입력", exact=True).fill("단골손님")
    studio.write = lambda prompt, seed: GREETING
    assert run_whole(page) == GREETING.strip()
    assert studio.prompts == ["손님에게 공손하게 인사합니다.\n단골손님\n답:"]
    studio.write, studio.pause = (lambda prompt, seed: " 반갑습니다. " * 40), 0.05
    page.get_by_role("button", name="다시 실행").click()
    # The text grows while it is written.
    page.locator(".token-text", has_text="반갑습니다").wait_for()
    page.get_by_role("button", name="멈춤", exact=True).click()
    page.get_by_text("멈췄습니다.", exact=True).wait_for()
    stopped = written(page).strip()
    assert 0 < len(stopped) < 300 and "반갑습니다" in stopped
    until(lambda: studio.n_cancelled == 1)
    assert written(page).strip() == stopped
    page.get_by_role("button", name="이전 답", exact=True).click()
    assert written(page).strip() == GREETING.strip()
    page.get_by_role("button", name="다음 답", exact=True).click()
    assert written(page).strip() == stopped


def test_what_is_typed_is_saved_and_reopened_from_the_list(page, studio):
    new_prompt(page, title="처음 이름")
    page.get_by_role("textbox", name="제목", exact=True).fill("고친 이름")
    page.get_by_role("textbox", name="지시", exact=True).fill("감정을 말합니다.")
    page.get_by_role("textbox", name="문장", exact=True).fill("국물이 참 좋네요")
    page.get_by_text("저장됨", exact=True).wait_for()
    page.get_by_role("navigation").get_by_text("내 프롬프트").click()
    page.get_by_role("link", name="고친 이름", exact=True).click()
    directive = page.get_by_role("textbox", name="지시", exact=True)
    directive.wait_for()
    assert directive.input_value() == "감정을 말합니다."
    assert page.get_by_role("textbox", name="문장", exact=True).input_value() == "국물이 참 좋네요"


def test_versions_are_compared_and_restored(page, studio):
    new_prompt(page, {"document": {"directive": "감정을 말합니다."}})
    save_version(page, "첫 모습")
    directive = page.get_by_role("textbox", name="지시", exact=True)
    directive.fill("감정을 한 낱말로 말합니다.")
    open_part(page, "버전")
    page.get_by_text("지금 모습은 아직 버전으로 남지 않았습니다.").wait_for()
    difference = page.get_by_role("region", name="무엇이 달라졌나")
    difference.get_by_text("감정을 한 낱말로 말합니다.", exact=True).wait_for()
    assert "감정을 말합니다." in difference.inner_text()
    page.get_by_role("button", name="1번 버전: 되돌리기").click()
    page.get_by_role("button", name="남기고 되돌리기").click()
    page.get_by_text("지금 모습은 1번 버전과 같습니다.").wait_for()
    versions = page.get_by_role("list", name="버전").get_by_role("listitem")
    versions.filter(
        has_text="1번 버전으로 되돌리기 전"
    ).wait_for()  # what was replaced is a version too
    open_part(page, "만들기")
    assert directive.input_value() == "감정을 말합니다."
    page.get_by_text("저장됨", exact=True).wait_for()


def test_a_link_shows_a_version_until_it_is_revoked(page, studio, browser):
    new_prompt(page, {"document": {"directive": "비밀이 아닌 지시"}}, "나눌 것")
    open_part(page, "공유·앱")
    page.get_by_role("button", name="링크 만들어 복사").click()
    address = page.get_by_role("link", name="1번 버전 · 보기만: 열기").get_attribute("href")
    reader = browser.new_context(locale="ko-KR").new_page()  # who is not logged in
    reader.goto(address)
    reader.get_by_text("비밀이 아닌 지시").wait_for()
    reader.get_by_text("보기만 할 수 있습니다.").wait_for()
    page.get_by_role("button", name="1번 버전 · 보기만: 링크 끄기").click()
    page.get_by_role("dialog").get_by_role("button", name="링크 끄기").click()
    page.get_by_text("링크를 껐습니다.").wait_for()
    reader.reload()
    reader.get_by_text("이 링크는 이제 열리지 않습니다").wait_for()
    assert reader.get_by_text("비밀이 아닌 지시").count() == 0
    reader.context.close()


def code_of(page, language):
    page.get_by_role("radio", name=language).check(force=True)
    return page.get_by_role("region", name=language).inner_text()


def test_an_app_answers_in_its_page_and_to_the_code_that_is_shown(page, studio, browser):
    studio.write = lambda prompt, seed: f" {prompt.splitlines()[-2]}의 감정은 긍정"
    new_prompt(page, {"item": {"문장": "김밥이 '참' \"맛\"있다"}}, "감정 앱")
    open_part(page, "공유·앱")
    page.get_by_role("button", name="앱 만들기").click()
    link = page.get_by_role("textbox", name="키가 든 링크").input_value()
    secret = page.get_by_role("textbox", name="키", exact=True).input_value()
    assert link.endswith(f"#{secret}")
    page.get_by_role("button", name="복사해 두었어요").click()
    guest = browser.new_context(locale="ko-KR").new_page()
    guest.goto(link)
    guest.get_by_role("textbox", name="문장").fill("국이 식었다")
    guest.get_by_role("button", name="답 받기").click()
    guest.get_by_text("국이 식었다의 감정은 긍정").wait_for()
    assert secret not in guest.url  # a copied address gives no key away
    guest.context.close()
    expected = "김밥이 '참' \"맛\"있다의 감정은 긍정"
    python = code_of(page, "파이썬")
    result = subprocess.run([sys.executable, "-"], input=python, capture_output=True, text=True)
    assert result.stdout.strip() == expected, result.stderr
    curl = code_of(page, "터미널 (curl)")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    result = subprocess.run(["sh", "-c", curl], capture_output=True, text=True)
    assert json.loads(result.stdout)["answer"] == expected, result.stderr


def test_a_filter_that_blocks_ends_the_answer_and_says_so(page, studio):
    new_prompt(page, {})
    studio.write = lambda prompt, seed: " 이 바보 같은 답"
    page.get_by_role("textbox", name="문장", exact=True).fill("안녕")
    run_whole(page)
    page.get_by_text("출력 필터가 알립니다:").wait_for()
    assert "바보" in written(page).strip()
    page.get_by_role("radio", name="심한 것 막기").check(force=True)
    page.get_by_role("button", name="다시 실행").click()
    page.get_by_text("출력 필터가 막음").wait_for()
    page.get_by_text("아무것도 쓰지 않고 끝냈습니다.").wait_for()
    assert "바보" not in page.locator(".result").inner_text()


def test_a_person_with_a_limit_is_told_in_plain_words_when_it_is_reached(page, studio, browser):
    page.get_by_role("navigation").get_by_text("사람과 키").click()
    page.get_by_role("button", name="사람 초대").click()
    page.get_by_role("textbox", name="이름").fill("하나")
    page.get_by_role("button", name="초대 링크 만들기").click()
    link = page.get_by_role("textbox", name="링크").input_value()
    page.get_by_role("button", name="옮겨 두었습니다").click()
    page.get_by_role("button", name="하나의 한도").click()
    page.get_by_role("textbox", name="하루에 요청").fill("1")
    page.get_by_role("dialog").get_by_role("button", name="저장").click()
    page.get_by_text("하루 1번").wait_for()
    hana = browser.new_context(locale="ko-KR").new_page()
    hana.goto(link)
    hana.get_by_role("button", name="빈 프롬프트").click()
    hana.get_by_role("textbox", name="입력", exact=True).fill("가")
    run_whole(hana)
    hana.get_by_role("button", name="다시 실행").click()
    hana.get_by_role("alert").get_by_text("오늘 쓸 수 있는 만큼을 다 썼습니다").wait_for()
    # Everything but the model still works.
    hana.get_by_text("저장됨", exact=True).wait_for()
    hana.context.close()
