"""What the editor does with several texts, turns, choices and free text."""

import urllib.error
import urllib.request

import pytest

from tests.helpers.browser import new_prompt, open_part, post, wait_for_value, written


def run_whole(page, name="실행"):
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="다시 실행").wait_for()


def test_one_of_several_texts_is_gone_on_with(page, studio):
    new_prompt(page, {"item": {"문장": "가"}, "n": 3})
    studio.write = lambda prompt, seed: f" 글{seed % 1000}"
    run_whole(page)
    texts = page.locator(".token-text").all_inner_texts()
    assert len(texts) == 3
    studio.write = lambda prompt, seed: " 그리고 끝"
    page.locator(".candidate").nth(1).get_by_role("button", name="이어 쓰기").click()
    page.locator(".token-text", has_text="그리고 끝").wait_for()
    page.get_by_role("button", name="다시 실행").wait_for()
    assert written(page) == f"{texts[1]} 그리고 끝"  # and no other
    assert studio.prompts[-1] == f"가\n감정:{texts[1]}"


def test_another_token_is_taken_and_the_text_goes_on_from_there(page, studio):
    new_prompt(page, {"item": {"문장": "가"}})
    studio.write = lambda prompt, seed: " cat dog"
    run_whole(page)
    page.locator("[data-token='3']").click()
    page.get_by_text("t 대신 올 수 있던 말").wait_for()
    studio.write = lambda prompt, seed: "b!"
    page.locator(".token-text").get_by_role("button", name="b").click()
    page.locator(".token-text", has_text="b!").wait_for()
    assert written(page) == " cabb!" and studio.prompts[-1] == "가\n감정: cab"


def test_turns_survive_a_reload_and_go_on(page, studio):
    new_prompt(page, {})
    studio.write = lambda prompt, seed: f" 답{prompt.count('감정:')}"
    page.get_by_role("radio", name="이어서").check(force=True)
    field = page.get_by_role("textbox", name="문장", exact=True)
    field.fill("하나")
    field.press("Control+Enter")
    page.locator(".turn", has_text="답1").wait_for()
    open_part(page, "버전")
    page.get_by_text("아직 저장한 버전이 없습니다").wait_for()
    page.get_by_text("저장됨", exact=True).wait_for()
    page.reload()
    open_part(page, "만들기")
    page.locator(".turn", has_text="답1").wait_for()
    field.fill("둘")
    field.press("Control+Enter")
    page.locator(".turn", has_text="답2").wait_for()
    assert studio.prompts[-1] == "하나\n감정: 답1\n\n둘\n감정:"
    page.get_by_role("radio", name="한 번씩").check(force=True)
    assert page.locator(".turn").count() == 0


def test_free_text_takes_what_is_written_and_gives_it_back(page, studio):
    examples = [{"문장": "좋다 {참}", "답": "긍정"}]
    new_prompt(page, {"item": {"문장": "가"}, "document": {"examples": examples}})
    page.get_by_role("radio", name="자유 글").check(force=True)
    page.get_by_role("button", name="자유 글로").click()
    box, before = (
        page.get_by_role("textbox", name="글", exact=True),
        "좋다 {참}\n감정: 긍정\n\n가\n감정:",
    )
    box.wait_for()
    assert box.input_value() == before
    page.get_by_role("button", name="실행", exact=True).click()
    page.locator(".candidate").get_by_text("시드").wait_for()
    assert studio.prompts[-1] == before
    wait_for_value(box, f"{before} 긍정\n\n")
    page.get_by_role("button", name="되돌리기", exact=True).click()
    assert box.input_value() == before
    page.get_by_role("button", name="다시 하기", exact=True).click()
    assert box.input_value() == f"{before} 긍정\n\n"


def test_a_report_of_biases_is_offered_once_there_are_examples_enough(page, studio):
    examples = [{"문장": f"말 {n}", "답": "긍정" if n % 2 else "부정"} for n in range(7)]
    new_prompt(page, {"document": {"examples": examples}})
    page.get_by_role("radio", name="보기에서 고르기").check(force=True)
    for key in ("긍정", "부정"):
        page.get_by_role("textbox", name="새 보기").fill(key)
        page.get_by_role("textbox", name="새 보기").press("Enter")
    report = page.get_by_role("button", name="치우침 살피기")
    report.click()
    page.get_by_text("답마다 예시가 4개씩은 있어야 합니다.").wait_for()
    page.get_by_role("button", name="예시 추가").click()
    page.get_by_label("8번째 줄의 문장").fill("말 7")
    page.get_by_label("8번째 줄의 답").select_option("긍정")
    report.click()
    page.get_by_role("dialog", name="예시의 치우침").wait_for()


def test_a_link_that_was_used_says_where_to_get_another(page, studio, browser):
    link, other = studio.link(), browser.new_context(locale="ko-KR").new_page()
    other.goto(f"{studio.url}/studio/#/login/{link}")
    other.get_by_role("button", name="빈 프롬프트").wait_for()
    other.context.clear_cookies()
    other.goto("about:blank")
    other.goto(f"{studio.url}/studio/#/login/{link}")
    other.get_by_role("alert").get_by_text("이 링크는 이미 썼거나").wait_for()
    other.context.close()


def test_an_app_whose_quota_is_used_up_says_so_in_plain_words(page, studio, browser):
    prompt = new_prompt(page, title="하루 한 번")
    post(page, f"api/prompts/{prompt}/versions", {"note": "", "revision": 1})
    limits = {"requests_per_day": 1}
    asked = {"prompt": prompt, "number": 1, "title": "하루 한 번", "limits": limits}
    made = post(page, "api/apps", asked)
    slug, guest = made["app"]["slug"], browser.new_context(locale="ko-KR").new_page()
    guest.goto(f"{studio.url}/apps/{slug}#{made['secret']}")
    guest.get_by_role("textbox", name="문장").fill("가")
    guest.get_by_role("button", name="답 받기").click()
    guest.get_by_role("button", name="복사").wait_for()
    guest.get_by_role("button", name="답 받기").click()
    guest.get_by_role("alert").get_by_text("내일 다시 해 주세요").wait_for()
    guest.context.close()
    headers = {"Authorization": f"Bearer {made['secret']}", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{studio.url}/apps/{slug}", b'{"\xeb\xac\xb8\xec\x9e\xa5": ""}'
    )
    request.headers |= headers
    with pytest.raises(urllib.error.HTTPError, match="429"):
        urllib.request.urlopen(request)


def test_a_file_in_cp949_becomes_examples_whose_columns_are_bound(page, studio, tmp_path):
    file = tmp_path / "후기.csv"
    lines = ["느낌,손님 말", '긍정,"국물이, 참 좋다"', "부정,똠방각하처럼 짜다"]
    file.write_bytes("\r\n".join(lines).encode("cp949"))
    new_prompt(page)
    page.get_by_role("button", name="파일에서", exact=True).click()
    page.get_by_label("파일", exact=True).set_input_files(str(file))
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("CP949").last.wait_for()
    dialog.get_by_label("문장", exact=True).select_option("손님 말")
    dialog.get_by_label("답", exact=True).select_option("느낌")
    dialog.get_by_role("button", name="2줄 가져오기").click()
    assert page.get_by_label("1번째 줄의 문장").input_value() == "국물이, 참 좋다"
    # Rows are moved by keys, too.
    page.get_by_role("button", name="1번째 줄 옮기기").press("ArrowDown")
    assert page.get_by_label("1번째 줄의 문장").input_value() == "똠방각하처럼 짜다"
    assert page.get_by_role("button", name="2번째 줄 옮기기").evaluate("e => e.matches(':focus')")
    page.get_by_role("textbox", name="문장", exact=True).fill("가")
    run_whole(page)
    assert studio.prompts == [
        "똠방각하처럼 짜다\n감정: 부정\n\n국물이, 참 좋다\n감정: 긍정\n\n가\n감정:"
    ]
