"""Every text field of every page keeps a syllable that is composed in it, once."""

import pytest

from tests.helpers.browser import Composer
from tests.helpers.studio_places import PLACES, answer_tuning

FIRST = ("home", "tested", "people")  # for the quick tests
_KINDS = ("range", "checkbox", "radio", "file", "number")
FIELDS = (
    "textarea:visible, " + "input:visible" + "".join(f':not([type="{kind}"])' for kind in _KINDS)
)
_PARAMS = [pytest.param(name, marks=() if name in FIRST else pytest.mark.long) for name in PLACES]


@pytest.mark.parametrize("name", _PARAMS)
def test_a_syllable_stays_in_each_field(browser, studio, tour, name):
    place = PLACES[name]
    state = None if place.is_public else tour.context.storage_state()
    context = browser.new_context(locale="ko-KR", storage_state=state)
    page = context.new_page()
    page.set_default_timeout(15_000)
    answer_tuning(page)
    place.open(page, studio.url, tour.made)
    composer, dialog = Composer(page), page.locator("dialog[open]")
    fields = (dialog if dialog.count() else page).locator(FIELDS)  # others take no input now
    for index in range(fields.count()):
        field = fields.nth(index)
        if not field.is_editable():
            continue
        field.focus()
        before = field.input_value().count("한")
        composer.compose("ㅎ", "하", "한")
        composer.press()  # Enter, which is the last key of a message too
        composer.commit("한")
        page.wait_for_timeout(60)
        if fields.count() <= index or not fields.nth(index).is_editable():
            break  # Enter was obeyed, and led on
        label = field.get_attribute("aria-label") or field.get_attribute("id")
        count = fields.nth(index).input_value().count("한") - before
        was_sent = fields.nth(index).input_value() == "" and before == 0
        assert count == 1 or was_sent, label
    context.close()
