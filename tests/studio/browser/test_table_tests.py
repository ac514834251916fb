"""Testing a prompt on a table in the Studio's pages."""

import csv
import io
import re

import pytest

from tests.helpers.browser import Composer, content_of, new_prompt, post

ROWS = [
    ("국물이 맛있어요", "긍정"),
    ("면이 불었어요", "부정"),
    ("맛은 없고 식었어요", "부정"),  # the engine is wrong here
    ("=1+1 맛 좋아요", "긍정"),
]
DONE = "모두 답했습니다."


def mood(prompt, seed):
    """A model that knows one word."""
    return " 긍정" if "맛" in prompt.splitlines()[-2] else " 부정"


@pytest.fixture
def bench(page, studio):
    """The page of a test with ROWS, none of which was run."""
    studio.write = mood
    columns, rows = ["문장", "정답"], [list(row) for row in ROWS]
    table = post(page, "api/tables", {"name": "후기", "columns": columns, "rows": rows})
    page.prompt_id = new_prompt(page, {"table": table["id"]})
    page.table_id = table["id"]
    open_test(page)
    return page


def open_test(page):
    page.get_by_role("link", name="표로 시험").click()


def cells(page):
    """The answers that the table shows, each with its verdict."""
    return [
        re.sub(r"\s+", " ", text).strip()
        for text in page.locator(".result-cell .line").all_inner_texts()
    ]


def run_all(page, name="모두 실행"):
    page.get_by_role("button", name=name).click()
    page.get_by_text(DONE).wait_for()
    page.wait_for_timeout(400)  # answers are drawn a moment after they have come


def get(page, path):
    return page.evaluate("async (path) => (await fetch(path)).json()", path)


def test_a_file_becomes_a_test_whose_answers_are_counted(page, studio, tmp_path):
    studio.write = mood
    file = tmp_path / "후기.csv"
    lines = "".join(f"{text},{label}\r\n" for text, label in ROWS)
    file.write_bytes(f"손님 말,감정\r\n{lines}".encode("cp949"))
    new_prompt(page)
    open_test(page)
    page.get_by_role("button", name="파일에서 가져오기").click()
    page.get_by_label("파일", exact=True).set_input_files(str(file))
    page.get_by_role("button", name="4줄 가져오기").click()
    run_all(page)
    names = ["지금 프롬프트 맞음 긍정", "지금 프롬프트 맞음 부정", "지금 프롬프트 틀림 긍정"]
    assert cells(page) == [*names, "지금 프롬프트 맞음 긍정"]
    figures = page.locator(".figures").inner_text()
    assert "4줄 가운데 3줄" in figures
    assert "75%" in figures
    page.get_by_role("button", name="정답 부정, 답 긍정: 1줄").click()
    assert cells(page) == [names[2]]


def test_answers_survive_a_reload_and_changes_of_the_table(bench):
    run_all(bench)
    before = cells(bench)
    bench.reload()
    bench.locator(".result-cell").first.wait_for()
    bench.wait_for_timeout(400)
    assert cells(bench) == before
    bench.get_by_label("3번째 줄의 정답").fill("긍정")
    bench.get_by_label("2번째 줄의 문장").fill("면이 쫄깃해요")
    bench.wait_for_timeout(300)
    assert [text.split()[2] for text in cells(bench)] == ["맞음", "맞음", "맞음"]
    assert bench.get_by_role("button", name="남은 1줄 실행").is_visible()


def test_wrong_rows_become_examples(bench):
    run_all(bench)
    bench.get_by_role("button", name="틀린 줄을 예시로 넣기").click()
    bench.get_by_role("button", name="추가", exact=True).click()
    bench.get_by_role("button", name="시험에서 빼기").click()
    bench.wait_for_timeout(1800)  # both are saved by themselves
    document = get(bench, f"api/prompts/{bench.prompt_id}")["content"]["document"]
    assert document["examples"] == [{"문장": ROWS[2][0], "답": "부정"}]
    table = get(bench, f"api/tables/{bench.table_id}")
    assert table["rows"] == [list(row) for row in ROWS if row != ROWS[2]]
    assert bench.get_by_text("고치기 전 결과").is_visible()


def test_two_settings_are_asked_the_same_and_compared(bench, studio):
    asked = []
    studio.write = lambda prompt, seed: (
        asked.append((prompt, seed))
        or (" 부정" if prompt.startswith("다시") else mood(prompt, seed))
    )
    bench.get_by_role("button", name="버전으로 저장").click()
    bench.get_by_role("dialog").get_by_role("button", name="저장").click()
    bench.get_by_text("1번 버전으로 저장했습니다.").wait_for()
    bench.get_by_role("link", name="만들기").click()
    bench.get_by_label("지시").fill("다시 읽고 고르세요.\n\n")
    open_test(bench)
    bench.get_by_role("button", name="비교할 것 추가").click()
    bench.get_by_role("button", name="견주기").click()
    run_all(bench)
    drafts = {prompt.removeprefix("다시 읽고 고르세요.\n\n"): seed for prompt, seed in asked}
    assert len(asked) == 8
    assert all(drafts[prompt] == seed for prompt, seed in asked if prompt in drafts)
    assert len(set(drafts.values())) == 4
    text = bench.get_by_text("만 맞은 줄").inner_text()
    assert "‘지금 프롬프트’만 맞은 줄 1, ‘1번 버전’만 맞은 줄 2." in text
    bench.get_by_role("button", name=re.compile("서로 다른 줄 3")).click()
    assert len(cells(bench)) == 6


def test_repeats_tell_how_stable_an_answer_is(bench, studio):
    studio.write = lambda prompt, seed: f" {'긍정' if seed % 2 else '부정'}"
    bench.get_by_text("열 맞추기와 채점 방법").click()
    bench.get_by_label("같은 줄 되풀이").last.fill("5")
    run_all(bench)
    bench.locator(".result-cell").first.click()
    answers = bench.locator(".repeats li").all_inner_texts()
    assert len(answers) == 5
    share = max(map(answers.count, answers)) / 5
    bench.keyboard.press("Escape")
    assert f"같은 답 {share:.0%}" in bench.locator(".result-cell .facts").first.inner_text()


def test_a_server_that_is_away_for_a_while_loses_nothing(bench):
    calls = []

    def fail_twice(route):
        calls.append(route)
        route.abort() if len(calls) < 3 else route.continue_()

    bench.route("**/api/run", fail_twice)
    bench.get_by_role("button", name="모두 실행").click()
    bench.get_by_text("서버를 기다리고 있습니다.").wait_for()
    bench.get_by_text(DONE).wait_for()
    bench.wait_for_timeout(400)
    assert len(cells(bench)) == 4
    bench.faults.clear()  # the calls that were broken off


def test_a_table_that_was_changed_elsewhere_is_not_lost(bench):
    theirs = {"name": "후기", "columns": ["문장", "정답"], "rows": [["저쪽", "긍정"]]}
    put = """async ([path, body]) => (await fetch(path, { method: "PUT",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json()"""
    bench.get_by_label("1번째 줄의 문장").wait_for()
    bench.evaluate(put, [f"api/tables/{bench.table_id}", {**theirs, "revision": 1}])
    bench.get_by_label("1번째 줄의 문장").fill("이쪽")
    bench.get_by_text("다른 곳에서도 이 표를 고쳤습니다.").wait_for()
    assert bench.get_by_label("1번째 줄의 문장").input_value() == "저쪽"
    tables = get(bench, "api/tables")["data"]
    copy = next(table for table in tables if table["name"] == "후기 (사본)")
    assert get(bench, f"api/tables/{copy['id']}")["rows"][0] == ["이쪽", "긍정"]
    bench.faults.clear()  # the conflict


def test_the_file_of_a_test_is_one_for_spreadsheets(bench):
    run_all(bench)
    with bench.expect_download() as download:
        bench.get_by_role("button", name="결과까지 내려받기").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.startswith("\ufeff")
    head, *rows = csv.reader(io.StringIO(text[1:], newline=""))
    assert head[:4] == ["문장", "정답", "지금 프롬프트: 답", "지금 프롬프트: 맞음(O/X)"]
    assert [row[:4] for row in rows[2:]] == [
        [*ROWS[2], "긍정", "X"],
        [f"'{ROWS[3][0]}", "긍정", "긍정", "O"],
    ]


def test_a_file_runs_as_a_batch(page, studio, tmp_path):
    studio.write = mood
    file = tmp_path / "goods.csv"
    lines = "".join(f"{text},{at}\n" for at, (text, _) in enumerate(ROWS))
    file.write_text(f"말,번호\n{lines}", encoding="utf-8-sig")
    post(page, "api/prompts", {"title": "묶음", "content": content_of()})
    page.evaluate("location.hash = '#/batches'")
    page.get_by_role("button", name="새로 돌리기").click()
    page.get_by_label("프롬프트", exact=True).select_option(label="묶음")
    page.get_by_label("파일", exact=True).set_input_files(str(file))
    page.get_by_label("빈칸 문장").select_option("말")
    page.get_by_role("button", name="4줄 돌리기").click()
    page.get_by_text("끝남", exact=True).wait_for()
    page.get_by_text("4 / 4줄").wait_for()
    page.locator(".batch-rows .answer").nth(3).wait_for()
    assert page.locator(".batch-rows .answer").all_inner_texts() == ["긍정", "부정", "긍정", "긍정"]
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV 내려받기").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["answer"] for row in rows] == ["긍정", "부정", "긍정", "긍정"]
    assert [row["번호"] for row in rows] == list("0123")


def test_a_row_that_was_deleted_comes_back_with_its_answer(bench):
    run_all(bench)
    before = cells(bench)
    bench.get_by_role("button", name="틀린 줄 1").click()
    bench.get_by_role("button", name="3번째 줄 지우기").click()
    bench.get_by_role("button", name="모두 3").click()
    assert len(cells(bench)) == 3
    bench.get_by_role("button", name="되돌리기").click()
    bench.wait_for_timeout(300)
    assert cells(bench) == before
    inputs = bench.get_by_role("textbox", name=re.compile("의 문장"))
    assert [field.input_value() for field in inputs.all()] == [text for text, _ in ROWS]


def test_a_row_that_is_too_long_says_so_in_plain_words(bench):
    refusal = {"code": "context_length_exceeded", "message": "too long", "param": "items"}
    bench.route("**/api/run", lambda route: route.fulfill(status=400, json={"error": refusal}))
    run_all(bench)
    assert bench.locator(".result-cell").first.inner_text().count("글이 너무 깁니다.") == 1
    assert bench.get_by_role("button", name="실패한 줄 4").is_visible()
    bench.unroute("**/api/run")
    run_all(bench, "실패한 4줄 다시 실행")
    assert len(cells(bench)) == 4
    assert bench.locator(".verdict.good").count() == 3
    bench.faults.clear()  # the refusals


def test_chosen_rows_run_alone_and_once(bench, studio):
    studio.prompts.clear()
    for number in (2, 4):
        bench.get_by_label(f"{number}번째 줄 고르기").check()
    run_all(bench, "고른 2줄 실행")
    assert [prompt.splitlines()[0] for prompt in sorted(studio.prompts)] == [
        "=1+1 맛 좋아요",
        ROWS[1][0],
    ]
    assert len(cells(bench)) == 2
    bench.get_by_role("button", name="고른 2줄 실행").click()
    bench.get_by_text("이미 모두 답한 줄입니다.").wait_for()
    assert len(studio.prompts) == 2
    run_all(bench, "남은 2줄 실행")
    assert len(cells(bench)) == 4


def test_the_run_before_a_change_stays_to_compare_with(bench, studio):
    run_all(bench)
    bench.get_by_role("link", name="만들기").click()
    bench.get_by_label("지시").fill("아무거나 고르세요.\n\n")
    open_test(bench)
    bench.get_by_text("고치기 전 결과").wait_for()
    studio.write = lambda prompt, seed: " 부정"
    run_all(bench, "바뀐 것으로 4줄 실행")
    bench.get_by_role("button", name="비교할 것 추가").click()
    bench.get_by_role("radio", name="이전 결과").check()
    bench.get_by_role("button", name="견주기").click()
    bench.wait_for_timeout(500)
    heads = bench.locator(".data-table thead th").all_inner_texts()
    assert heads[-3] == "지금 프롬프트"
    assert heads[-2].startswith("이전: 지금 프롬프트")
    figures = bench.locator(".figures").inner_text()
    assert "4줄 가운데 2줄" in figures
    assert "4줄 가운데 3줄" in figures
    assert bench.get_by_role("button", name="서로 다른 줄 3").is_visible()


def test_syllables_in_a_cell_are_kept_while_the_table_is_saved(bench):
    cell, composer = bench.get_by_label("1번째 줄의 문장"), Composer(bench)
    cell.fill("")
    cell.focus()
    for syllable in "안녕안녕요":
        composer.type_syllable(syllable)
        bench.wait_for_timeout(250)
    composer.compose("ㅇ", "아")
    bench.wait_for_timeout(1500)  # the table is saved and drawn again meanwhile
    composer.compose("안")
    composer.commit("안")
    assert cell.input_value() == "안녕안녕요안"
    bench.wait_for_timeout(1500)
    assert get(bench, f"api/tables/{bench.table_id}")["rows"][0][0] == "안녕안녕요안"


def test_a_new_row_is_written_into_at_once(bench):
    bench.get_by_role("button", name="줄 추가").click()
    bench.wait_for_timeout(300)
    bench.keyboard.type("마지막 줄")
    assert bench.get_by_label("5번째 줄의 문장").input_value() == "마지막 줄"
