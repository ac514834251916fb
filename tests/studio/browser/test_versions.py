"""Versions of prompts: what differs between them, and the way back."""

import random

import pytest

from tests.studio.browser.prompts import ask, content, new_prompt, save, show

EXAMPLES = [{"문장": f"문장 {number}", "답": "기쁨"} for number in range(4)]


def common(before, after):
    """The length of the longest list that both have in common, by the table of all beginnings."""
    table = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i, left in enumerate(before):
        for j, right in enumerate(after):
            longer = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else longer
    return table[-1][-1]


def test_differences_of_lists_are_whole_and_as_short_as_may_be(page):
    chance = random.Random(0)
    draw = lambda: chance.choices("abcd", k=chance.randrange(9))
    pairs = [[draw(), draw()] for _ in range(300)]
    program = """async (pairs) => {
        const {listDiff} = await import("./js/diff.js");
        return pairs.map(([before, after]) => listDiff(before, after));
    }"""
    for (before, after), steps in zip(pairs, page.evaluate(program, pairs), strict=True):
        of = lambda *kinds, steps=steps: [step["entry"] for step in steps if step["kind"] in kinds]
        assert of("same", "removed") == before and of("same", "added") == after
        assert len(of("same")) == common(before, after)


def test_rows_that_stand_in_the_place_of_others_are_changed_ones(page):
    changed = [EXAMPLES[0], {"문장": "새", "답": "기쁨"}, EXAMPLES[2], EXAMPLES[3], EXAMPLES[0]]
    program = """async ([before, after]) => (await import("./js/diff.js")).rowDiff(before, after)"""
    steps = page.evaluate(program, [EXAMPLES, changed])
    assert [(step["kind"], step["row"]) for step in steps] == [("changed", 2), ("added", 5)]
    steps = page.evaluate(program, [EXAMPLES, EXAMPLES[1:]])
    assert [(step["kind"], step["row"]) for step in steps] == [("removed", 1)]


@pytest.fixture
def prompt_id(page):
    """A prompt with two versions and a draft that is as neither of them."""
    prompt_id = new_prompt(page, "첫 제목", content(directive="첫 줄\n", examples=EXAMPLES))
    save(page, prompt_id, "처음")
    changes = {"directive": "첫 줄\n둘째 줄\n", "examples": EXAMPLES[1:]}
    for title, raw in (("둘째 제목", content(**changes)), ("셋째 제목", content(stop=["끝"]))):
        body = {"title": title, "content": raw}
        revision = ask(page, "GET", f"prompts/{prompt_id}")["revision"]
        ask(page, "PUT", f"prompts/{prompt_id}", {**body, "revision": revision})
        if title == "둘째 제목":
            save(page, prompt_id, "<b>둘째</b>")
    show(page, f"prompts/{prompt_id}/versions")
    return prompt_id


def draft(page, prompt_id):
    prompt = ask(page, "GET", f"prompts/{prompt_id}")
    return prompt["title"], prompt["content"]["document"], len(prompt["versions"])


def test_two_versions_are_compared_part_by_part(page, prompt_id):
    page.get_by_label("앞", exact=True).select_option("1")
    page.get_by_label("뒤", exact=True).select_option("2")
    view = page.locator(".diff-view")
    view.get_by_text("둘째 줄", exact=True).wait_for()
    assert view.locator("h3").all_inner_texts() == ["제목", "지시", "예시"]
    assert view.locator("section del").all_inner_texts() == ["첫 제목", "문장 0", "기쁨"]
    assert view.locator("section ins").all_inner_texts() == ["둘째 제목", "둘째 줄"]
    assert view.get_by_text("1번째 예시를 뺐습니다").count() == 1
    page.get_by_role("button", name="앞뒤 바꾸기").click()
    view.get_by_text("1번째 예시를 넣었습니다").wait_for()


def test_a_draft_that_is_no_version_is_kept_before_another_is_restored(page, prompt_id):
    page.get_by_text("지금 모습은 아직 버전으로 남지 않았습니다.").wait_for()
    page.get_by_role("button", name="1번 버전: 되돌리기").click()
    page.get_by_role("button", name="남기고 되돌리기").click()
    page.get_by_text("지금 모습은 1번 버전과 같습니다.").wait_for()
    page.get_by_text("저장됨", exact=True).wait_for()
    title, document, n_versions = draft(page, prompt_id)
    assert (title, n_versions) == ("첫 제목", 3)
    assert document == content(directive="첫 줄\n", examples=EXAMPLES)["document"]
    kept = ask(page, "GET", f"prompts/{prompt_id}/versions/3")
    assert kept["content"]["document"]["stop"] == ["끝"]
    page.get_by_role("button", name="2번 버전: 되돌리기").click()
    page.get_by_role("dialog").get_by_role("button", name="되돌리기", exact=True).click()
    page.get_by_text("지금 모습은 2번 버전과 같습니다.").wait_for()
    page.get_by_text("저장됨", exact=True).wait_for()
    assert draft(page, prompt_id)[0] == "둘째 제목" and draft(page, prompt_id)[2] == 3


def test_a_version_becomes_a_prompt_of_its_own(page, prompt_id):
    page.get_by_role("button", name="2번 버전: 새 프롬프트로").click()
    page.get_by_role("textbox", name="제목").wait_for()
    page.wait_for_url(lambda url: prompt_id not in url)
    title, document, n_versions = draft(page, page.url.split("/")[-1])
    assert (title, n_versions) == ("둘째 제목 (사본)", 0)
    assert document["examples"] == EXAMPLES[1:]


def test_a_version_that_is_saved_meanwhile_is_listed(page, prompt_id):
    page.get_by_role("button", name="버전으로 저장").click()
    page.get_by_label("무엇이 달라졌나요?").fill("셋째")
    page.get_by_role("button", name="저장", exact=True).click()
    page.get_by_role("button", name="3번 버전: 되돌리기").wait_for()
    page.get_by_text("지금 모습은 3번 버전과 같습니다.").wait_for()
