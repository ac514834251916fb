"""Two tabs on one prompt, and pages that are loaded again while something is typed or written."""

import pytest

from tests.helpers.browser import faults_of, new_prompt

CONFLICT = "다른 곳에서도 이 프롬프트를 고쳤습니다"


def directive_of(page):
    return page.get_by_role("textbox", name="지시", exact=True)


def get(page, path):
    return page.evaluate("async (path) => (await fetch(path)).json()", path)


@pytest.fixture
def tabs(page, studio, context):
    """Two tabs on the same prompt, which the first has changed since the second has loaded it."""
    prompt_id = new_prompt(page, title="함께 고치는 것")
    other = context.new_page()
    other.set_default_timeout(15_000)
    other.faults = faults_of(other)
    other.goto(f"{studio.url}/studio/#/prompts/{prompt_id}")
    directive_of(other).wait_for()
    directive_of(page).fill("첫째 창의 지시")
    page.get_by_text("저장됨", exact=True).wait_for()
    directive_of(other).fill("둘째 창의 지시")
    other.get_by_role("dialog", name=CONFLICT).wait_for()
    yield page, other, prompt_id
    page.faults[:] = [fault for fault in page.faults if "409" not in fault]
    assert all("409" in fault for fault in other.faults)


@pytest.mark.parametrize("is_mine", [True, False])
def test_two_tabs_on_one_prompt_keep_both_texts(tabs, is_mine):
    _, other, prompt_id = tabs
    name = "내 것으로 하고 저쪽 것은 사본으로" if is_mine else "저쪽 것으로 하고 내 것은 사본으로"
    other.get_by_role("button", name=name).click()
    other.get_by_role("dialog", name=CONFLICT).wait_for(state="detached")
    other.get_by_text("저장됨", exact=True).wait_for()
    mine, theirs = "둘째 창의 지시", "첫째 창의 지시"
    kept, copied = (mine, theirs) if is_mine else (theirs, mine)
    assert directive_of(other).input_value() == kept
    assert get(other, f"api/prompts/{prompt_id}")["content"]["document"]["directive"] == kept
    (copy,) = [
        p for p in get(other, "api/prompts")["data"] if p["title"] == "함께 고치는 것 (사본)"
    ]
    whole = get(other, f"api/prompts/{copy['id']}")
    assert whole["content"]["document"]["directive"] == copied
    other.evaluate(
        "id => fetch(`api/prompts/${id}`, {method: 'DELETE'})", copy["id"]
    )  # the next has its own


def test_a_conflict_that_is_left_open_is_there_again_after_a_reload(tabs):
    _, other, _ = tabs
    other.on("dialog", lambda dialog: dialog.accept())  # the browser asks before text is left
    other.reload()
    other.get_by_role("dialog", name=CONFLICT).wait_for()
    assert directive_of(other).input_value() == "둘째 창의 지시"


def test_a_reload_in_the_middle_of_an_edit_keeps_the_text(page, studio):
    prompt_id = new_prompt(page)
    saves = []
    page.route(
        f"**/api/prompts/{prompt_id}",
        lambda route: (
            (saves.append(1), route.abort()) if route.request.method == "PUT" else route.continue_()
        ),
    )
    directive_of(page).fill("아직 저장되지 않은 글")
    page.get_by_text("서버에 닿지 않아 이 브라우저에 담아 두었습니다.").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.unroute_all()
    page.reload()
    page.get_by_text("저장됨", exact=True).wait_for()
    assert saves and directive_of(page).input_value() == "아직 저장되지 않은 글"
    document = get(page, f"api/prompts/{prompt_id}")["content"]["document"]
    assert document["directive"] == "아직 저장되지 않은 글"
    assert all("ERR_FAILED" in fault for fault in page.faults)
    page.faults.clear()
