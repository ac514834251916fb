"""Every page and dialog of the Studio: what is made for them to show, and how they are opened."""

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace

from tests.helpers.browser import content_of, post

_GET = "async path => (await fetch(path)).json()"
_JOB = {
    **{"object": "tuning.job", "kind": "lora", "dataset": "ds-1", "validation": None},
    **{"step": 40, "total_steps": 80, "metrics": {}, "error": None, "created": 1_700_000_000},
    **{"started": 1_700_000_010, "ended": None, "is_cancelled": False, "settings": {}},
}
_REVIEWS = (
    *(("국물이 깊고 따뜻해서 또 왔어요.", True), ("포장이 찢어져서 다 흘렀어요.", False)),
    *(("직원이 먼저 웃으며 맞아 주었어요.", True), ("한 시간을 기다렸는데 식어 있었어요.", False)),
    *(("아이가 혼자서도 잘 가지고 놀아요.", True), ("사진보다 훨씬 작고 얇아요.", False)),
    *(("값에 비해 천이 도톰하고 좋아요.", True), ("두 번 빨았더니 색이 다 빠졌어요.", False)),
)
_CURVE = [
    {"step": 10 * step, "loss": 3 / step, "validation_loss": 3.2 / step, "validation_accuracy": 0.5}
    for step in range(1, 9)
]


def filled(page, name=lambda plain: plain):
    """Makes something for every page to show, by the API; returns the ids and addresses.

    Args:
      page: a page of the Studio whose person is an administrator.
      name: makes the names and texts of what is made, from plain ones.
    """
    document = {
        **{"directive": name("후기를 읽고 감정을 고른다.") + "\n\n", "separator": "\n\n"},
        **{"choices": {"긍정": "긍정", name("부정"): "부정"}, "stop": None, "sampling": None},
        "examples": [
            {"문장": name(text), "답": "긍정" if is_good else name("부정")}
            for text, is_good in _REVIEWS
        ],
    }
    columns = ["문장", "정답"]
    rows = [
        [name("향이 오래가서 선물했어요."), "긍정"],
        ["소리가 너무 커요.", name("부정")],
        ["무난해요.", ""],
    ]
    table = post(page, "api/tables", {"name": name("후기 표"), "columns": columns, "rows": rows})
    content = content_of(
        document=document, table=table["id"], item={"문장": name("생각보다 가볍고 튼튼해요.")}
    )
    content["document"] = {
        key: value for key, value in content["document"].items() if value is not None
    }
    prompt = post(page, "api/prompts", {"title": name("감정"), "content": content})
    made = SimpleNamespace(prompt=prompt["id"], name=name)
    keep = {"note": name("처음"), "revision": prompt["revision"]}
    assert post(page, f"api/prompts/{made.prompt}/versions", keep)["number"] == 1
    share = post(page, f"api/prompts/{made.prompt}/shares", {"number": 1, "mode": "copy"})
    app = {
        "prompt": made.prompt,
        "number": 1,
        "title": name("감정 앱"),
        "slug": f"app-{made.prompt[-6:]}",
    }
    app["slug"] = app["slug"].lower().replace("_", "0")
    made.share, made.secret = share["token"], post(page, "api/apps", app)["secret"]
    made.slug = app["slug"]
    written = content_of(item={"문장": name("오늘은 문을 일찍 닫습니다.")})
    views = ("writing", "blocks", "글쓰기"), ("chat", "chat", "대화"), ("text", "text", "자유 글")
    for kind, view, title in views:
        own = {**written, "view": view}
        if view == "text":
            own["document"] = {**own["document"], "input": name("옛날"), "answer": "{답}"}
        created = post(page, "api/prompts", {"title": name(title), "content": own})
        setattr(made, kind, created["id"])
    batch = {"name": name("후기 묶음"), "content": content, "columns": columns, "rows": rows}
    made.batch = post(page, "api/batches", batch)["id"]
    person = post(page, "api/people", {"name": name("하늘"), "role": "maker"})
    made.person = person["person"]["id"]
    post(page, "../hclx/v1/admin/keys", {"name": name("누리집"), "scopes": ["inference"]})
    return made


def answer_tuning(page, name=lambda plain: plain):
    """Answers the page's questions for jobs of tuning: that runs, has failed, has succeeded."""
    job = lambda **facts: {**_JOB, "name": name(facts["id"]), "model": None, **facts}
    jobs = [
        job(id="running", state="running"),
        job(id="failed", state="failed", error=name("out of memory"), ended=1_700_000_100),
        job(
            **{"id": "done", "state": "succeeded", "step": 80, "model": name("tiny:done")},
            **{"metrics": {"loss": 0.4, "validation_accuracy": 0.9}, "ended": 1_700_000_100},
        ),
    ]
    artefact = {
        **{"object": "artefact", "id": "done", "name": name("done"), "kind": "lora"},
        **{"bytes": 120_000, "metrics": {"validation_accuracy": 0.9}, "created": 1_700_000_100},
        "model": name("tiny:done"),
    }
    dataset = {"id": "ds-1", "name": name("rows.jsonl"), "rows": 40, "created": 1_700_000_000}
    answers = {
        "tuning/jobs": {"data": jobs},
        "artefacts": {"data": [artefact]},
        "artefacts/done": artefact,
        "datasets": {"data": [dataset]},
        **{f"tuning/jobs/{each['id']}": each for each in jobs},
        **{f"tuning/jobs/{each['id']}/metrics": {"data": _CURVE} for each in jobs},
    }

    def fulfil(route):
        path = route.request.url.split("/hclx/v1/")[1].split("?")[0]
        if path not in answers:
            return route.continue_()
        return route.fulfill(body=json.dumps(answers[path]), content_type="application/json")

    page.route("**/hclx/v1/**", fulfil)


@dataclasses.dataclass(frozen=True)
class Place:
    """A page or a dialog.

    Attributes:
      path: (made) -> its address behind "#/", or "/apps/..." of an app's page.
      sign: a selector of what is there when the page is.
      steps: what is done then: texts of buttons that are pressed, or functions of the page.
      end: a selector of what is there after the steps.
      is_public: whether it is seen by somebody who is not logged in.
    """

    path: Callable
    sign: str
    steps: tuple = ()
    end: str | None = None
    is_public: bool = False

    def open(self, page, url, made):
        """Opens the place in a new page of somebody who is logged in where that is needed."""
        path = self.path(made)
        page.goto(url + (path if path.startswith("/") else f"/studio/#/{path}"))
        page.locator(self.sign).first.wait_for()
        for step in self.steps:
            if callable(step):
                step(page)
            else:
                page.get_by_role("button", name=step).first.click()
        if self.end:
            page.locator(self.end).first.wait_for()


def _at(path):
    return lambda made: path.format(**vars(made))


def _opens(summary):
    return lambda page: page.locator("summary", has_text=summary).first.click()


_DIALOG = "dialog[open] h2"
_RUN = (lambda page: page.get_by_role("button", name="실행").first.click(),)
_BAR = ".run-bar"
PLACES = {
    "home": Place(_at(""), ".gallery button"),
    "gallery": Place(_at(""), ".gallery button", ("후기의 감정 고르기",), _DIALOG),
    "prompts": Place(_at("prompts"), ".plain-list li"),
    "write": Place(_at("prompts/{prompt}"), _BAR, (_opens("입력과 답의 틀"),)),
    "write every knob": Place(
        _at("prompts/{writing}"),
        _BAR,
        (lambda page: page.get_by_role("radio", name="자세히").check(),),
    ),
    "write chosen": Place(_at("prompts/{prompt}"), _BAR, _RUN, ".candidate .bars"),
    "written": Place(_at("prompts/{writing}"), _BAR, _RUN, ".candidate .row"),
    "token": Place(
        _at("prompts/{writing}"),
        _BAR,
        (
            *_RUN,
            lambda page: page.locator(".candidate .row").first.wait_for(),
            lambda page: page.locator("[data-token]:not(:empty) >> nth=1").click(),
        ),
        ".alternatives button",
    ),
    "text": Place(_at("prompts/{text}"), _BAR, _RUN, ".candidate .row"),
    "chat": Place(_at("prompts/{chat}"), ".card textarea"),
    "save": Place(_at("prompts/{prompt}"), _BAR, ("버전으로 저장",), _DIALOG),
    "columns": Place(_at("prompts/{prompt}"), _BAR, ("열 이름",), _DIALOG),
    "import": Place(_at("prompts/{prompt}"), _BAR, ("파일에서",), _DIALOG),
    "bias": Place(_at("prompts/{prompt}"), _BAR, ("치우침 살피기",), _DIALOG),
    "calibration": Place(_at("prompts/{prompt}"), _BAR, ("보정값 보기",), _DIALOG),
    "test": Place(_at("prompts/{prompt}/test"), ".data-table .cell"),
    "tested": Place(
        _at("prompts/{prompt}/test"), ".data-table .cell", ("모두 실행",), ".confusion, .figures"
    ),
    "compare": Place(_at("prompts/{prompt}/test"), ".data-table", ("비교할 것 추가",), _DIALOG),
    "versions": Place(_at("prompts/{prompt}/versions"), ".pair select"),
    "version": Place(
        _at("prompts/{prompt}/versions"), ".pair select", ("1번 버전: 보기",), _DIALOG
    ),
    "restore": Place(
        _at("prompts/{prompt}/versions"), ".pair select", ("1번 버전: 되돌리기",), _DIALOG
    ),
    "share": Place(_at("prompts/{prompt}/share"), ".code pre"),
    "batches": Place(_at("batches"), "table.batches"),
    "new batch": Place(_at("batches"), "table.batches", ("새로 돌리기",), _DIALOG),
    "batch": Place(_at("batches/{batch}"), "main .scroll tbody tr"),
    "apps": Place(_at("apps"), ".app h2"),
    "change app": Place(_at("apps"), ".app h2", (": 고치기",), _DIALOG),
    "tune": Place(_at("tune"), ".jobs"),
    "tune steps": Place(_at("tune/new?prompt={prompt}"), ".ways"),
    "tune running": Place(_at("tune/running"), ".curves svg"),
    "tune failed": Place(_at("tune/failed"), "section[role=alert]"),
    "tune done": Place(_at("tune/done"), ".success"),
    "usage": Place(_at("usage"), ".totals"),
    "people": Place(_at("people"), "table.stacking tbody tr"),
    "invite": Place(_at("people"), "table.stacking tbody tr", ("사람 초대",), _DIALOG),
    "keys": Place(_at("people?keys"), "table.stacking tbody tr"),
    "new key": Place(_at("people?keys"), "table.stacking tbody tr", ("키 만들기",), _DIALOG),
    "shared": Place(_at("shared/{share}"), ".content-view"),
    "not shared": Place(_at("shared/nothing"), "section[role=alert]"),
    "shared to all": Place(_at("shared/{share}"), ".content-view", is_public=True),
    "logged out": Place(_at("prompts"), "main h1", is_public=True),
    "missing": Place(_at("nowhere"), "main h1"),
    "login": Place(_at("login/wrong"), "section[role=alert]"),
    "app": Place(_at("/apps/{slug}#{secret}"), ".app-page textarea"),
    "app answered": Place(
        _at("/apps/{slug}#{secret}"),
        ".app-page textarea",
        (lambda page: page.locator("textarea").first.fill("두 번이나 늦게 왔어요."), "답 받기"),
        ".app-answer .bars",
    ),
    "no app": Place(_at("/apps/nothing"), "section[role=alert]"),
}
