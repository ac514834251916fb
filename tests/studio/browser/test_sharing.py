"""Prompts that are given to others: links, apps, and code that works as it is pasted."""

import os
import subprocess
import sys

import pytest

from hclx.serve.store.key_records import create_key
from tests.studio.browser.prompts import TRICKY, ask, content, new_prompt, save, show

CHOICES = {"choices": {"좋음": "칭찬", "나쁨": "불만"}, "stop": [], "sampling": {}}


@pytest.fixture
def visitor(browser, studio):
    """A page of somebody who is not logged in, with what failed in its scripts."""
    context = browser.new_context(locale="ko-KR")
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.script_faults = []
    page.on("pageerror", lambda error: page.script_faults.append(str(error)))
    yield page
    assert not page.script_faults
    context.close()


def shared(page, prompt_id, mode):
    """Makes a link on the page of sharing; returns it."""
    show(page, f"prompts/{prompt_id}/share")
    page.locator("label", has_text=mode).click()
    page.get_by_role("button", name="링크 만들어 복사").click()
    return page.get_by_role("link", name="열기").first.get_attribute("href")


def make_app(page, prompt_id, **fields):
    """Makes an app on the page of sharing; returns the link with its key."""
    show(page, f"prompts/{prompt_id}/share")
    for label, text in fields.items():
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="앱 만들기", exact=True).click()
    link = page.get_by_role("textbox", name="키가 든 링크").input_value()
    page.get_by_role("button", name="복사해 두었어요").click()
    return link


def test_a_link_shows_the_draft_as_a_version_until_it_is_revoked(page, visitor):
    prompt_id = new_prompt(page, "<b>제목</b>", content(directive="<i>지시</i>문"))
    link = shared(page, prompt_id, "보기만")
    assert [head["number"] for head in ask(page, "GET", f"prompts/{prompt_id}")["versions"]] == [1]
    visitor.goto(link)
    visitor.get_by_role("heading", name="<b>제목</b>").wait_for()
    assert visitor.get_by_text("<i>지시</i>문").count() == 1
    assert visitor.get_by_role("button", name="내 것으로 가져오기").count() == 0
    page.get_by_role("button", name="링크 끄기").click()
    page.get_by_role("dialog").get_by_role("button", name="링크 끄기").click()
    page.get_by_text("링크를 껐습니다.").wait_for()
    visitor.reload()
    visitor.get_by_role("heading", name="이 링크는 이제 열리지 않습니다").wait_for()


def test_a_link_to_copy_makes_a_prompt_of_ones_own(page):
    prompt_id = new_prompt(page)
    link = shared(page, prompt_id, "가져가 고칠 수 있음")
    page.goto(link)
    page.get_by_role("button", name="내 것으로 가져오기").click()
    page.get_by_role("textbox", name="제목").wait_for()
    copied = ask(page, "GET", "prompts/" + page.url.split("/")[-1])
    assert copied["id"] != prompt_id
    assert copied["content"]["document"] == content()["document"]


def test_a_second_link_takes_the_version_that_is_as_the_draft(page):
    prompt_id = new_prompt(page)
    save(page, prompt_id, "첫 버전")
    shared(page, prompt_id, "보기만")
    assert len(ask(page, "GET", f"prompts/{prompt_id}")["versions"]) == 1


def test_an_app_answers_whoever_has_its_link_and_its_address_loses_the_key(page, visitor, studio):
    studio.write = lambda prompt, seed: " 무척 기쁨\n\n다음 예시"
    link = make_app(page, new_prompt(page))
    visitor.goto(link)
    visitor.get_by_label("문장").fill("좋은 날")
    assert "#" not in visitor.url and "hclx-" not in visitor.url
    visitor.get_by_role("button", name="답 받기").click()
    visitor.locator(".app-answer .written", has_text="무척 기쁨").wait_for()
    assert studio.prompts[-1] == "문장: 좋은 날\n감정:"
    visitor.reload()
    assert visitor.get_by_label("문장").input_value() == "좋은 날"
    visitor.get_by_role("button", name="답 받기").click()
    visitor.locator(".app-answer .written", has_text="무척 기쁨").wait_for()


def test_an_app_of_choices_shows_their_probabilities(page, visitor):
    visitor.goto(make_app(page, new_prompt(page, raw=content(**CHOICES))))
    visitor.get_by_label("문장").fill("좋은 날")
    visitor.get_by_role("button", name="답 받기").click()
    bars = visitor.locator(".bars li")
    bars.nth(1).wait_for()
    shares = [float(bar.inner_text().split()[-1].rstrip("%")) for bar in bars.all()]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.2)


def test_an_app_that_is_stopped_ends_the_request(page, visitor, studio):
    studio.write, studio.pause = lambda prompt, seed: "가" * 90, 0.05
    n_before = studio.n_cancelled
    visitor.goto(make_app(page, new_prompt(page)))
    visitor.get_by_label("문장").fill("좋은 날")
    visitor.get_by_role("button", name="답 받기").click()
    visitor.locator(".app-answer .written", has_text="가가").wait_for()
    visitor.get_by_role("button", name="멈춤").click()
    visitor.get_by_role("button", name="답 받기").wait_for()
    for _ in range(30):
        visitor.wait_for_timeout(100)
        if studio.n_cancelled > n_before:
            break
    studio.pause = 0.0
    assert studio.n_cancelled == n_before + 1
    assert 1 < len(visitor.locator(".app-answer .written").inner_text()) < 90


def test_an_app_keeps_what_came_when_the_server_is_lost_and_asks_again(page, visitor, studio):
    studio.write = lambda prompt, seed: " 기쁨"
    facts = ("prompt", '{"item": 0, "tokens": 3}'), ("token", '{"item": 0, "n": 0, "text": "절반"}')
    half = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in facts)
    outcomes = [
        lambda route: route.fulfill(body=half, content_type="text/event-stream"),
        lambda route: route.abort(),
        lambda route: route.fallback(),
    ]
    is_call = lambda route: route.request.method == "POST"
    visitor.route(
        "**/apps/*", lambda route: (outcomes.pop(0) if is_call(route) else outcomes[-1])(route)
    )
    visitor.goto(make_app(page, new_prompt(page)))
    visitor.get_by_label("문장").fill("좋은 날")
    visitor.get_by_role("button", name="답 받기").click()
    visitor.get_by_role("alert").get_by_text("답이 오는 도중에 끊어졌습니다").wait_for()
    assert visitor.locator(".app-answer .written").inner_text() == "절반"
    visitor.get_by_role("button", name="다시 시도").click()
    visitor.get_by_role("alert").get_by_text("서버에 닿지 않습니다").wait_for()
    visitor.get_by_role("button", name="다시 시도").click()
    visitor.locator(".app-answer .written", has_text="기쁨").wait_for()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"key": "hclx-wrong"}, "키가 없거나 맞지 않습니다"),
        ({"key": ""}, "키가 없거나 맞지 않습니다"),
        ({"calls": 2}, "오늘 쓸 수 있는 만큼을 다 썼습니다"),
    ],
)
def test_an_app_says_in_plain_words_what_failed(page, visitor, change, message):
    link = make_app(page, new_prompt(page), **{"하루에 몇 번까지": "1"})
    address, key = link.split("#")
    visitor.goto(f"{address}#{change.get('key', key)}")
    visitor.get_by_label("문장").fill("좋은 날")
    for _ in range(change.get("calls", 1)):
        visitor.get_by_role("button", name="답 받기").click()
        visitor.get_by_role("button", name="답 받기").wait_for()
        visitor.wait_for_timeout(300)
    visitor.get_by_role("alert").get_by_text(message).wait_for()
    assert "Authorization" not in visitor.locator("body").inner_text()


def codes_of(page, target):
    """The code in each language, by its name."""
    page.locator("label", has_text=target).click()
    codes = {}
    for language in ("터미널 (curl)", "파이썬"):
        page.locator("label", has_text=language).click()
        codes[language] = page.get_by_role("region", name=language).inner_text()
    return codes


def outcome(language, code, environment):
    program = [sys.executable] if language == "파이썬" else ["bash"]
    done = subprocess.run([*program, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_of_an_app_and_of_its_model_works_as_it_is_pasted(page, studio):
    studio.write = lambda prompt, seed: " 기쁨\n\n"
    make_app(page, new_prompt(page))
    secret, _ = create_key(studio.database, "code", 0.0)
    for target, environment in (("이 앱", {}), ("모델", {"HCLX_KEY": secret})):
        for language, code in codes_of(page, target).items():
            studio.prompts.clear()
            assert "기쁨" in outcome(language, code, {**os.environ, **environment})
            assert studio.prompts == [f"문장: {TRICKY}\n감정:"]


def test_the_code_of_the_model_chooses_as_the_studio_does(page, studio):
    prompt_id = new_prompt(page, raw=content(**CHOICES))
    show(page, f"prompts/{prompt_id}/share")
    secret, _ = create_key(studio.database, "code", 0.0)
    run = {"content": content(**CHOICES), "items": [{"문장": TRICKY}]}
    answer = ask(page, "POST", "run", run)["results"][0]["scores"]["answer"]
    for language, code in codes_of(page, "모델").items():
        written = outcome(language, code, {**os.environ, "HCLX_KEY": secret})
        assert CHOICES["choices"][answer] in written


def test_an_app_is_changed_given_a_new_key_and_removed(page, visitor):
    prompt_id = new_prompt(page)
    link = make_app(page, prompt_id, **{"앱 이름": "내 느낌", "주소 (없어도 됩니다)": "my-mood"})
    assert link.split("#")[0] == f"{page.url.split('/studio')[0]}/apps/my-mood"
    show(page, "apps")
    page.get_by_role("button", name="내 느낌: 고치기").click()
    page.get_by_label("앱 이름").fill("새 이름")
    page.get_by_role("button", name="저장", exact=True).click()
    page.get_by_role("heading", name="새 이름").wait_for()
    page.get_by_role("button", name="새 이름: 새 키").click()
    page.get_by_role("dialog").get_by_role("button", name="새 키").click()
    other = page.get_by_role("textbox", name="키가 든 링크").input_value()
    assert other != link and other.split("#")[0] == link.split("#")[0]
    page.get_by_role("button", name="복사해 두었어요").click()
    page.get_by_role("button", name="새 이름: 지우기").click()
    page.get_by_role("dialog").get_by_role("button", name="지우기").click()
    page.get_by_text("‘새 이름’ 앱을 지웠습니다.").wait_for()
    visitor.goto(other)
    visitor.get_by_role("heading", name="이 앱은 없습니다").wait_for()


def test_an_address_that_is_taken_is_refused_beside_its_field(page):
    for _ in range(2):
        show(page, f"prompts/{new_prompt(page)}/share")
        page.get_by_label("주소 (없어도 됩니다)").fill("taken-one")
        page.get_by_role("button", name="앱 만들기", exact=True).click()
        page.get_by_text("키가 든 링크").or_(page.get_by_text("이미 쓰이는 주소입니다")).wait_for()
    assert page.get_by_text("이미 쓰이는 주소입니다").count() == 1
    page.faults.clear()  # the console has the 409
