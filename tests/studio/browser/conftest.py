"""The Studio in Chromium, over an engine that writes what a test says."""

import contextlib
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("playwright")

from hclx.serve.backend import Backend
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.store.database import open_database
from hclx.studio.store.people_records import first_administrator
from hclx.studio.store.session_records import new_link
from hclx.text.chat_template import ChatTemplate
from tests.helpers.browser import chromium, faults_of
from tests.helpers.page_scripts import PageScripts
from tests.helpers.serving import TalkingTokenizer, served
from tests.helpers.studio import studio_app
from tests.helpers.studio_engine import StudioEngine
from tests.helpers.studio_places import filled
from tests.helpers.word_filter import WordFilter


@pytest.fixture(scope="package")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A server with the Studio: `url`, `engine`, `database` and `link()`, which logs in once."""
    folder = tmp_path_factory.mktemp("studio")
    tokenizer = TalkingTokenizer(256)
    engine = StudioEngine(tokenizer)
    rules, template = OutputRules(WordFilter()), ChatTemplate(tokenizer)
    backend = Backend(engine, tokenizer, {"tiny": None}, 20_000, "", template, rules=rules)
    with open_database(f"{folder}/store.db") as database:
        app = studio_app(backend, database, time.time, has_tuning=True)
        with served(app) as url:
            engine.url, engine.database = url, database
            engine.link = lambda: new_link(
                database, first_administrator(database, time.time()).id, time.time()
            )
            yield engine


def log_in(page, studio):
    """Logs in as the administrator, and returns the page."""
    page.set_default_timeout(15_000)
    page.goto(f"{studio.url}/studio/#/login/{studio.link()}")
    page.get_by_role("navigation").get_by_text("내 프롬프트").wait_for()
    return page


@pytest.fixture
def context(browser):
    with contextlib.closing(browser.new_context(locale="ko-KR")) as context:
        yield context


@pytest.fixture
def page(context, studio):
    """A page that is logged in as the administrator, at the start; it may have no faults."""
    studio.reset()
    page = context.new_page()
    page.faults = faults_of(page)
    log_in(page, studio)
    yield page
    assert not page.faults


@pytest.fixture(scope="module")
def scripts(browser, studio):
    """Functions of the pages' modules, in a page of the server that runs nothing itself."""
    with contextlib.closing(browser.new_page()) as page:
        page.goto(f"{studio.url}/studio/icon.svg")
        yield PageScripts(page, studio.url)


@pytest.fixture(scope="module")
def tour(browser, studio):
    """A context of the administrator, and `made`, what there is for each page to show."""
    settings = {"locale": "ko-KR", "reduced_motion": "reduce"}
    with contextlib.closing(browser.new_context(**settings)) as context:
        page = log_in(context.new_page(), studio)
        made = filled(page)
        page.close()
        yield SimpleNamespace(context=context, made=made)
