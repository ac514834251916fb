"""Every page and dialog for those who see little, hear pages, or use the keyboard alone."""

from pathlib import Path

import pytest

axe = pytest.importorskip("axe_playwright_python")

from tests.helpers.studio_places import PLACES, answer_tuning  # noqa: E402

AXE = Path(axe.__file__).parent / "axe.min.js"
FIRST = ("home", "written", "tested", "people", "app answered")  # of all, for the quick tests
_VIOLATIONS = """async rules => {
    const only = rules ? {runOnly: {type: "rule", values: rules}} : {};
    const {violations} = await axe.run(document, {resultTypes: ["violations"], ...only});
    return violations.filter(({impact}) => ["serious", "critical"].includes(impact)).map(
        ({id, nodes}) => [id, nodes.slice(0, 3).map(({target, html}) => `${target} ${html}`)]);
}"""
_HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4")]
    .filter((heading) => heading.offsetParent)
    .map((heading) => [+heading.tagName[1], heading.innerText])"""
# Elements that take the focus and look the same with it as without it.
_UNSEEN_FOCUS = """() => {
    const open = document.querySelector("dialog[open]") ?? document.querySelector("#app");
    const all = [...open.querySelectorAll(
        "a[href], button, input, select, textarea, summary, [tabindex='0']")];
    const look = (element) => {
        const of = element.matches(".choice input") ? element.nextElementSibling : element;
        const {outlineStyle, outlineWidth, outlineColor} = getComputedStyle(of);
        return outlineStyle !== "none" && parseFloat(outlineWidth) >= 1 && outlineColor;
    };
    const hasFocus = (element) => document.activeElement === element && !element.disabled;
    return all.filter((element) => {
        element.focus();
        return hasFocus(element) && element.matches(":focus-visible") && !look(element);
    }).map((element) => element.outerHTML.slice(0, 100));
}"""
_LONG = [pytest.param(name, marks=() if name in FIRST else pytest.mark.long) for name in PLACES]


@pytest.fixture(params=_LONG)
def place(request, browser, tour, studio):
    """A page or dialog that is open, in light."""
    place = PLACES[request.param]
    state = None if place.is_public else tour.context.storage_state()
    settings = {"locale": "ko-KR", "reduced_motion": "reduce", "storage_state": state}
    context = browser.new_context(**settings)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.emulate_media(color_scheme="light")
    answer_tuning(page)
    place.open(page, studio.url, tour.made)
    page.evaluate("() => Promise.all(document.getAnimations().map((each) => each.finished))")
    yield page
    context.close()


def check_axe(page, rules=None):
    assert not page.evaluate(_VIOLATIONS, rules)


def test_a_place_is_seen_heard_and_used_by_keys_in_light_and_dark(place):
    place.evaluate(AXE.read_text(encoding="utf-8"))
    check_axe(place)
    place.emulate_media(color_scheme="dark")
    check_axe(place, ["color-contrast"])
    check_headings(place)
    check_focus(place)
    check_narrow(place)


def check_headings(page):
    """There is one title, deeper headings follow step by step, and the window has a name."""
    headings = page.evaluate(_HEADINGS)
    levels = [level for level, _ in headings]
    assert levels.count(1) == 1, headings
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:])), headings
    title = page.title()
    assert headings[0][1] in title and title, (title, headings)


def check_focus(page):
    """Each element that takes the focus is seen to have it."""
    page.keyboard.press("Tab")  # from now on the focus is that of the keyboard
    assert not page.evaluate(_UNSEEN_FOCUS)


def check_narrow(page):
    """Nothing but tables is wider than a small screen."""
    page.set_viewport_size({"width": 390, "height": 844})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0


def test_the_menu_of_a_small_screen_is_opened_and_left_by_keys(tour, studio):
    page = tour.context.new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{studio.url}/studio/")
    page.get_by_role("button", name="메뉴").press("Enter")
    page.get_by_role("navigation").get_by_role("link", name="사용량").press("Enter")
    page.get_by_role("heading", level=1, name="사용량").wait_for()
    assert not page.get_by_role("navigation").is_visible()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.get_by_role("button", name="메뉴").click()
    check_axe(page)
    page.close()


def test_axe_sees_what_is_wrong(tour, studio):
    page = tour.context.new_page()
    page.goto(f"{studio.url}/studio/")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate("document.body.append(document.createElement('button'))")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('p'), {textContent: 'pale'}));"
        "document.body.lastChild.style.color = '#eee'"
    )
    names = [name for name, _ in page.evaluate(_VIOLATIONS, None)]
    assert {"button-name", "color-contrast"} <= {*names}
    page.close()
