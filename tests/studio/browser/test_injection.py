"""Text of users, of files and of models stays text on every page."""

import contextlib
import json
import time

import pytest

from tests.helpers.browser import content_of, faults_of, new_prompt, post
from tests.helpers.studio_places import PLACES, answer_tuning, filled
from tests.studio.browser.conftest import log_in

MARKUP = "\"'><img src=x onerror=hit()><script>hit()</script></textarea><svg onload=hit()>"
LINK = "javascript:hit()"
PAYLOAD = f"{MARKUP}{LINK}"
SHORT = "<img src=x onerror=hit()>"
_MADE = """() => {
    const address = (element) => element.getAttribute("href") ?? element.getAttribute("src");
    const isScript = (element) => /^\\s*(javascript|data):/i.test(address(element));
    return [
        ...document.querySelectorAll("img, iframe, [onerror], [onload], body script"),
        ...[...document.querySelectorAll("[href], [src]")].filter(isScript),
    ].map((element) => element.outerHTML.slice(0, 200));
}"""
_HIT = (
    "window.violations = []; window.hit = () => violations.push('a script of the text has run');"
    "addEventListener('securitypolicyviolation',"
    " (event) => violations.push(event.violatedDirective));"
)
SHOWN = ("home", "prompts", "write", "written", "tested", "versions", "share", "batches", "batch")
SHOWN += ("apps", "tune", "tune failed", "tune done", "people", "keys", "shared", "app", "usage")
FIRST = ("prompts", "written", "tested", "people", "app")  # for the quick tests


@pytest.fixture(scope="module")
def hostile(browser, studio):
    """A context, and `made`, all names and texts of which are markup too."""
    with contextlib.closing(browser.new_context(locale="ko-KR")) as context:
        context.add_init_script(_HIT)
        page = log_in(context.new_page(), studio)
        made = filled(page, lambda plain: f"{plain}{SHORT}")
        page.close()
        yield context, made


@pytest.fixture
def watched(hostile, studio):
    """A page whose faults, dialogs and violations of the policy fail the test."""
    page = hostile[0].new_page()
    page.set_default_timeout(15_000)
    faults = faults_of(page)
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.goto(f"{studio.url}/studio/")
    yield page
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []
    page.close()


def check_text(page, *texts):
    """Asserts that texts are seen as they are, and that no element was made of any."""
    for text in texts:
        page.wait_for_function(
            "text => document.body.innerText.includes(text)"
            " || [...document.querySelectorAll('input, textarea, option')].some("
            "(field) => field.value.includes(text) || field.text?.includes(text))",
            arg=text,
        )
    assert page.evaluate(_MADE) == []
    assert page.evaluate("violations") == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FIRST else pytest.mark.long) for name in SHOWN]
)
def test_names_and_texts_of_users_stay_text(name, watched, hostile, studio):
    studio.write = lambda prompt, seed: f" 답{PAYLOAD}"
    answer_tuning(watched, lambda plain: f"{plain}{SHORT}")
    PLACES[name].open(watched, studio.url, hostile[1])
    check_text(watched, *(() if name == "usage" else (SHORT,)))


@pytest.mark.parametrize("isolated", [MARKUP, LINK])
def test_what_the_model_writes_stays_text(isolated, watched, studio):
    studio.write = lambda prompt, seed: f" {isolated}"
    new_prompt(watched)
    watched.get_by_role("textbox", name="문장", exact=True).fill(isolated)
    watched.get_by_role("button", name="실행").first.click()
    watched.get_by_role("button", name="예시로 넣기").wait_for()
    assert isolated in watched.locator(".token-text").inner_text()
    watched.get_by_role("button", name="예시로 넣기").click()
    watched.locator(".data-table .cell").first.wait_for()
    check_text(watched, isolated)


def test_names_of_files_and_their_cells_stay_text(watched):
    new_prompt(watched)
    watched.get_by_role("button", name="파일에서").click()
    csv = f'문장,"감정{SHORT}",답\n"{SHORT}{LINK}",x,긍정\n'.encode("cp949")
    name = f"후기{SHORT}.csv"
    file = {"name": name, "mimeType": "text/csv", "buffer": csv}
    watched.locator("input[type=file]").set_input_files(file)
    watched.get_by_role("dialog").get_by_text(name).wait_for()
    check_text(watched, f"감정{SHORT}", f"{SHORT}{LINK}")
    watched.get_by_role("button", name="1줄 가져오기").click()
    watched.locator(".data-table .cell").first.wait_for()
    check_text(watched, f"{SHORT}{LINK}")


def test_names_of_models_and_messages_of_the_server_stay_text(watched):
    session = watched.evaluate("async () => (await fetch('api/session')).json()")
    session["models"] = [{"name": SHORT, "is_tuned": False}]
    session["person"]["name"] = f"나{SHORT}"
    answers = {
        "session": (200, session),
        "usage": (500, {"error": {"code": "x", "message": PAYLOAD}}),
    }

    def fulfil(route):
        status, body = answers[route.request.url.split("/api/")[1].split("?")[0]]
        route.fulfill(status=status, body=json.dumps(body), content_type="application/json")

    watched.route("**/studio/api/session", fulfil)
    watched.reload()
    new_prompt(watched)
    check_text(watched, SHORT, f"나{SHORT}")


def test_an_address_makes_no_markup(watched, studio):
    for path in (f"#/{SHORT}", "#/prompts/<img src=x>", f"#/{LINK}", f"#/tune/new?prompt={SHORT}"):
        watched.goto(f"{studio.url}/studio/{path}")
        watched.locator("main h1").wait_for()
        check_text(watched)


def test_a_page_can_make_no_markup_of_a_text(page, studio):
    """Were it done by mistake, the page would fail, and every test that has its `faults`."""
    made = content_of(document={"directive": SHORT})
    slug = "no-markup"
    prompt = post(page, "api/prompts", {"title": "x", "content": made})["id"]
    post(page, f"api/prompts/{prompt}/versions", {"note": "", "revision": 1})
    post(page, "api/apps", {"prompt": prompt, "number": 1, "title": "x", "slug": slug})
    for path in ("/studio/", f"/apps/{slug}"):
        answer = page.goto(studio.url + path)
        assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"]
        for script in (
            "document.body.innerHTML = 'x'",
            "document.body.insertAdjacentHTML('beforeend', 'x')",
            "document.write('x')",
            "document.createElement('div').outerHTML = 'x'",
            "new DOMParser().parseFromString('x', 'text/html')",
            "document.createElement('script').text = 'x'",
            "trustedTypes.createPolicy('x', {})",
        ):
            error = page.evaluate(
                "script => { try { "
                + script
                + "; return null; } catch (error) { return error.name; } }",
                script,
            )
            assert error == "TypeError", (path, script)
    until = time.monotonic() + 10
    while len(page.faults) < 8 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert len(page.faults) >= 8  # each would fail a test of the pages
    page.faults.clear()
