"""Examples are written in their table as in a spreadsheet."""

from tests.helpers.browser import Composer, new_prompt


def cell(page, row, column="문장"):
    return page.get_by_role("textbox", name=f"{row}번째 줄의 {column}", exact=True)


def examples_of(page, prompt_id):
    page.get_by_text("저장됨", exact=True).wait_for()
    path = f"api/prompts/{prompt_id}"
    content = page.evaluate("async path => (await (await fetch(path)).json()).content", path)
    return content["document"].get("examples", [])


def test_a_new_row_is_seen_and_written_in(page, studio):
    rows = [{"문장": f"문장 {i}", "답": "긍정"} for i in range(30)]
    prompt_id = new_prompt(page, {"document": {"examples": rows}})
    page.get_by_role("button", name="예시 추가").click()
    page.keyboard.type("새 문장")
    assert cell(page, 31).input_value() == "새 문장"
    box = page.locator(".data-table").bounding_box()
    place = cell(page, 31).bounding_box()
    assert box["y"] <= place["y"] and place["y"] + place["height"] <= box["y"] + box["height"]
    page.get_by_text("고치는 중…").wait_for(state="detached")
    assert examples_of(page, prompt_id)[-1] == {"문장": "새 문장", "답": ""}


def test_enter_goes_to_the_next_row_and_adds_one_behind_the_last(page, studio):
    new_prompt(
        page, {"document": {"examples": [{"문장": "가", "답": "긍정"}, {"문장": "", "답": ""}]}}
    )
    cell(page, 1).focus()
    page.keyboard.press("End")
    composer = Composer(page)
    composer.compose("ㅇ", "아", "안")
    composer.press()  # ends the syllable, and goes on once
    composer.commit("안")
    page.wait_for_timeout(200)
    page.keyboard.type("나")
    assert (cell(page, 1).input_value(), cell(page, 2).input_value()) == ("가안", "나")
    page.keyboard.press("Enter")
    page.keyboard.type("다")
    assert cell(page, 3).input_value() == "다"
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("라")
    assert cell(page, 3).input_value() == "다\n라"


def test_a_click_below_a_cell_that_is_edited_meets_the_row_that_is_seen_there(page, studio):
    rows = [{"문장": f"{i}", "답": "긍정"} for i in range(5)]
    new_prompt(page, {"document": {"examples": rows}})
    cell(page, 4).scroll_into_view_if_needed()
    cell(page, 2).click()
    place = cell(page, 3).bounding_box()
    page.mouse.click(place["x"] + 40, place["y"] + place["height"] / 2)
    page.keyboard.press("End")
    page.keyboard.type("!")
    assert [cell(page, row).input_value() for row in (2, 3)] == ["1", "2!"]


def test_cells_of_a_spreadsheet_are_pasted_into_rows(page, studio):
    prompt_id = new_prompt(page, {"document": {"examples": [{"문장": "", "답": ""}]}})
    text = '첫째\t긍정\r\n"둘째 ""말""\n두 줄"\t부정\r\n셋째\t긍정\r\n'
    cell(page, 1).evaluate(
        """(field, text) => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            const options = {clipboardData: data, bubbles: true, cancelable: true};
            field.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        text,
    )
    cell(page, 3).wait_for()
    page.get_by_text("고치는 중…").wait_for(state="detached")
    assert examples_of(page, prompt_id) == [
        {"문장": "첫째", "답": "긍정"},
        {"문장": '둘째 "말"\n두 줄', "답": "부정"},
        {"문장": "셋째", "답": "긍정"},
    ]


def test_rows_of_which_nothing_is_written_yet_are_left_out(page, studio):
    examples = [{"문장": "좋다", "답": "긍정"}, {"문장": "싫다", "답": "부정"}]
    new_prompt(page, {"document": {"examples": examples}})
    studio.prompts.clear()
    page.get_by_role("button", name="예시 추가").click()
    page.get_by_role("textbox", name="문장", exact=True).fill("가")
    page.get_by_role("button", name="실행", exact=True).click()
    page.get_by_role("button", name="다시 실행").wait_for()
    assert studio.prompts == ["좋다\n감정: 긍정\n\n싫다\n감정: 부정\n\n가\n감정:"]
    page.get_by_role("button", name="버전으로 저장").click()
    page.get_by_role("dialog").get_by_role("button", name="저장").click()
    page.get_by_text("1번 버전으로 저장했습니다.").wait_for()
    assert page.get_by_text("2줄", exact=True).count() == 1
