"""A server that is killed and started again in the middle of a text, and of a batch."""

import csv
import time

import pytest

from hclx.serve.store.database import open_database
from hclx.studio.store.people_records import first_administrator
from hclx.studio.store.session_records import new_link
from tests.helpers.browser import new_prompt, written
from tests.helpers.multi_process import free_port
from tests.helpers.studio_process import counted, studio_process

pytestmark = pytest.mark.long
SENTENCES = [f"{number}번째 후기, \"쉼표\"와 '따옴표'" for number in range(12)]


@pytest.fixture
def server(tmp_path):
    """A function that runs the server as a context, each time on the same port and store."""
    store, port = f"{tmp_path}/store.db", free_port()
    with open_database(store) as database:
        person = first_administrator(database, time.time())
        token = new_link(database, person.id, time.time())

    def run():
        return studio_process(store, port, "counting")

    run.login = f"http://127.0.0.1:{port}/studio/#/login/{token}"
    return run


@pytest.fixture
def page(context, server):
    page = context.new_page()
    page.set_default_timeout(30_000)
    return page


def enter(page, server):
    page.goto(server.login)
    page.get_by_role("navigation").get_by_text("내 프롬프트").wait_for()


def test_a_text_goes_on_after_a_restart_with_what_was_written(page, server):
    with server() as process:
        enter(page, server)
        new_prompt(page)
        page.get_by_role("textbox", name="문장", exact=True).fill("끝까지 150")
        page.get_by_text("저장됨", exact=True).wait_for()
        page.get_by_role("button", name="실행", exact=True).click()
        page.locator(".token-text", has_text=" 5번").wait_for()
        process.kill()
        page.get_by_text("여기까지 쓴 글은 남아 있습니다.").wait_for()
    whole, text = counted("끝까지 150"), written(page)
    assert len(text) > 20 and whole.strip().startswith(text.strip()) and text.strip() != whole
    page.get_by_role("textbox", name="지시", exact=True).fill("서버가 없을 때 쓴 지시\n")
    page.get_by_text("서버에 닿지 않아 이 브라우저에 담아 두었습니다.").wait_for()
    with server():
        page.get_by_role("button", name="이어서 쓰기").click()
        page.get_by_role("button", name="다시 실행").wait_for()
        assert written(page).strip() == whole.strip()
        page.get_by_text("저장됨", exact=True).wait_for()
        page.reload()
        directive = page.get_by_role("textbox", name="지시", exact=True)
        directive.wait_for()
        assert directive.input_value() == "서버가 없을 때 쓴 지시\n"


def test_a_batch_goes_on_after_a_restart_and_its_file_is_whole(page, server, tmp_path):
    file = tmp_path / "후기 모음.csv"
    with file.open("w", encoding="cp949", newline="") as opened:
        csv.writer(opened).writerows([["번호", "손님 말"], *enumerate(SENTENCES)])
    with server() as process:
        enter(page, server)
        new_prompt(page, title="후기 나누기")
        page.get_by_role("navigation").get_by_text("한꺼번에 돌리기").click()
        page.get_by_role("button", name="새로 돌리기").click()
        page.get_by_label("프롬프트", exact=True).select_option(label="후기 나누기")
        page.get_by_label("파일", exact=True).set_input_files(str(file))
        page.get_by_label("빈칸 문장").select_option("손님 말")
        page.get_by_role("button", name="12줄 돌리기").click()
        page.get_by_role("cell", name=counted(SENTENCES[0]).strip()).first.wait_for()
        process.kill()
        page.get_by_text("서버가 자리를 비웠습니다.").wait_for()
    with server():
        page.get_by_text("12 / 12줄").wait_for(timeout=60_000)
        page.get_by_text("끝남", exact=True).wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV 내려받기").click()
        with open(download.value.path(), encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    assert [row["문장"] for row in rows] == SENTENCES
    assert [row["번호"] for row in rows] == [str(number) for number in range(12)]
    answers = [next(text for text in row.values() if ": 0번" in text) for row in rows]
    assert [answer.strip() for answer in answers] == [counted(s).strip() for s in SENTENCES]
