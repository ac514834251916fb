"""The files of the pages: their headers, and that no path leads out of their folder."""

import gzip
import http.client
from pathlib import Path
from urllib.parse import urljoin

import hclx.studio
from tests.helpers.serving import client_of, served

PAGES = Path(hclx.studio.__file__).parent / "pages"
KINDS = {
    **{".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"},
    **{".html": "text/html", ".svg": "image/svg+xml", ".LICENSE": "text/plain"},
}
FILES = sorted(path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*") if path.is_file())
POLICY = {
    **{"default-src": "'none'", "script-src": "'self'", "style-src": "'self'"},
    **{"connect-src": "'self'", "img-src": "'self' data:", "base-uri": "'none'"},
    **{"form-action": "'none'", "frame-ancestors": "'none'", "trusted-types": "'none'"},
    **{"require-trusted-types-for": "'script'"},
}


def check_headers(response):
    parts = response.headers["content-security-policy"].split("; ")
    assert dict(part.split(" ", 1) for part in parts) == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"


def test_each_file_is_sent_as_it_is_with_the_policy(nobody):
    assert "index.html" in FILES and len(FILES) > 10
    for name in FILES:
        response = nobody.get(f"/studio/{name}")
        assert response.status_code == 200, name
        check_headers(response)
        assert response.content == (PAGES / name).read_bytes()
        assert response.headers["content-type"].split(";")[0] == KINDS[Path(name).suffix]


def test_the_first_page_is_at_the_folder_itself(nobody):
    assert nobody.get("/studio/").content == (PAGES / "index.html").read_bytes()


def test_files_are_packed_for_those_who_take_that(nobody):
    data = (PAGES / "vendor/preact.mjs").read_bytes()
    ask = lambda coding: nobody.get("/studio/vendor/preact.mjs", headers=coding)
    for coding in ("gzip", "br, GZIP;q=0.5", "deflate, gzip ; q=1.0"):
        with nobody.stream(
            "GET", "/studio/vendor/preact.mjs", headers={"Accept-Encoding": coding}
        ) as response:
            packed = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip" and len(packed) < len(data) / 2
        assert gzip.decompress(packed) == data and response.headers["vary"] == "Accept-Encoding"
    for coding in ("identity", "", "br", "gzip;q=0", "gzip;q=0.000", "xgzip"):
        plain = ask({"Accept-Encoding": coding})
        assert "content-encoding" not in plain.headers and plain.content == data


def test_a_file_that_the_browser_has_is_not_sent_again(nobody):
    first = nobody.get("/studio/")
    tag = first.headers["etag"]
    for asked in (tag, f'"other", {tag}'):
        again = nobody.get("/studio/", headers={"If-None-Match": asked})
        assert again.status_code == 304 and again.content == b""
        check_headers(again)
    assert nobody.get("/studio/", headers={"If-None-Match": '"other"'}).status_code == 200
    assert nobody.get("/studio/icon.svg").headers["etag"] != tag


OUTSIDE = (
    *("../studio.py", "js/../../studio.py", "%2e%2e/studio.py", "..%2fstudio.py"),
    *("js/%2e%2e/%2e%2e/studio.py", "..%5cstudio.py", "%2fetc/hosts.html", "//etc/x.json"),
    *("js", "js/", "nothing.js", "index.html/", ".hidden.js", "index.html%00.js"),
    *("vendor/preact.mjs/x.js", "__init__.py", "C:%5cx.html", "%ff.js", "a" * 300 + ".js"),
)


def test_no_path_leads_out_of_the_folder(app):
    with served(app) as address:
        for path in OUTSIDE:
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
            connection.request("GET", f"/studio/{path}")  # which other clients would put in order
            response = connection.getresponse()
            text = response.read().decode()
            connection.close()
            assert response.status == 404, (path, text)
            assert "no page" in text and text.startswith("<!doctype html>")
            assert "default-src 'none'" in response.headers["content-security-policy"]


def test_an_error_is_a_page_and_has_no_markup_of_others(nobody):
    answer = nobody.get("/studio/%3Cimg%20src=x%3E.html")
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("text/html")
    check_headers(answer)
    answer = nobody.get("/studio/", headers={"Origin": "https://x/<script>"})
    assert answer.status_code == 403 and "<script>" not in answer.text
    check_headers(answer)
    wrong = nobody.get("/studio/api/nothing")
    assert wrong.status_code == 404 and wrong.json()["error"]["code"] == "not_found"
    assert "/studio/api/nothing is no route" in wrong.json()["error"]["message"]


def test_the_pages_take_nothing_but_requests_to_read(studio_client):
    assert studio_client.post("/studio/index.html").status_code == 405
    head = studio_client.head("/studio/")
    assert head.status_code == 200 and head.content == b""


def test_the_pages_work_below_any_path(app, nobody):
    """As behind a proxy that serves /ai/hclx/... and asks for the rest of the path."""

    async def proxy(scope, receive, send):
        if scope["type"] == "http":
            assert scope["path"].startswith("/ai/hclx/")
            path = scope["path"].removeprefix("/ai/hclx")
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    location = nobody.get("/studio", follow_redirects=False).headers["location"]
    assert urljoin("https://x/ai/hclx/studio", location) == "https://x/ai/hclx/studio/"
    with client_of(proxy) as client:
        page = client.get("/ai/hclx/studio")
        assert page.status_code == 200 and str(page.url).endswith("/ai/hclx/studio/")
        assert page.content == (PAGES / "index.html").read_bytes()


def test_an_app_has_the_page_of_apps_whatever_its_name_is(nobody, monkeypatch, tmp_path):
    (tmp_path / "app.html").write_text("<!doctype html>app")
    monkeypatch.setattr("hclx.studio.page_files._FOLDER", tmp_path)
    answer = nobody.get("/apps/anything")
    assert answer.text == "<!doctype html>app"
    check_headers(answer)
