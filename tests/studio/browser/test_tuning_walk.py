"""Tuning in the Studio's pages, by a real job of a tiny run, and what its engine writes."""

import re

import pytest

from tests.helpers.browser import faults_of, new_prompt, written
from tests.helpers.served_command import serving
from tests.helpers.tuning_runs import labelled_rows, write_base

pytestmark = pytest.mark.long
MINUTES = 6 * 60_000  # that a job of a few steps may take where much else runs


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer_dirs):
    return write_base(tmp_path_factory.mktemp("tuned") / "base", tokenizer_dirs["plain"])


@pytest.fixture
def page(context, base, tmp_path):
    options = (f"--model_dir={base}", "--dtype=float32", f"--studio_dir={tmp_path}/studio")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.faults = faults_of(page)
    with serving(*options) as (process, address):
        (line,) = re.findall(rf"{address}/studio/#/login/\S+", process.written())
        page.goto(line)
        page.get_by_role("navigation").get_by_text("내 프롬프트").wait_for()
        yield page
        assert not page.faults


def test_examples_tune_an_engine_that_a_prompt_uses(page):
    rows = [{"문장": row["text"], "답": row["answer"]} for row in labelled_rows()]
    document = {"input": "글: {문장}\n평:", "examples": rows, "sampling": {"max_tokens": 4}}
    new_prompt(page, {"document": document}, "맛 평가")
    page.get_by_role("navigation").get_by_text("튜닝").click()
    page.get_by_role("link", name="새로 튜닝").click()
    page.get_by_label("프롬프트", exact=True).select_option(label="맛 평가")
    page.get_by_text(f"배울 예시 {len(rows)}줄").wait_for()
    page.get_by_role("radio", name="말머리 학습 (p-tuning)").check(force=True)
    epochs = page.get_by_role("textbox", name="예시를 몇 번 되풀이해 읽을까요?")
    epochs.fill("1")
    page.get_by_role("textbox", name="모델 이름").fill("taste")
    page.get_by_role("button", name="튜닝 시작").click()
    page.get_by_role("button", name="그만두기").wait_for()
    page.get_by_role("heading", name="다 배웠습니다").wait_for(timeout=MINUTES)
    page.get_by_role("button", name="이 모델로 써 보기").click()
    model = page.get_by_label("모델", exact=True)
    model.wait_for()
    assert model.input_value() == "base:taste"
    page.get_by_role("textbox", name="문장", exact=True).fill("밥이 식었다")
    page.get_by_role("button", name="실행", exact=True).click()
    page.get_by_role("button", name="다시 실행").wait_for()
    page.locator(".candidate").get_by_text("시드").wait_for()
    assert page.locator(".candidate").count() == 1 and written(page) is not None
    page.get_by_role("navigation").get_by_text("튜닝").click()
    page.get_by_role("link", name="base:taste").wait_for()
