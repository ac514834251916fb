"""Makes the pictures of docs/studio from a server of the demo model.

    hclx serve --model_dir=runs/demo --studio_dir=/tmp/studio --port=8000
    python -m tests.studio.browser.screenshots --url=http://127.0.0.1:8000 --token=TOKEN

TOKEN is the end of the link that the server prints. What the pages show is made there first.
"""

import argparse
from pathlib import Path

from tests.helpers.browser import chromium
from tests.helpers.studio_places import PLACES, filled

SHOWN = {
    **{"home": "home", "token": "write", "tested": "test", "share": "share"},
    **{"batch": "batch", "tune steps": "tune", "app answered": "app"},
}
LOOKS = ((1280, 800, "light"), (390, 844, "dark"))
MOST_BYTES = 120_000
FOLDER = Path(__file__).parents[3] / "docs/studio"
_SETTLE_MS = 700  # what is saved says so, and previews are there


def logged_in_state(browser, url, token):
    """Logs in, makes something for every page to show; returns the cookies and what was made."""
    context = browser.new_context(locale="ko-KR")
    page = context.new_page()
    page.goto(f"{url}/studio/#/login/{token}")
    page.get_by_role("navigation").get_by_text("내 프롬프트").wait_for()
    made = filled(page)
    page.goto(f"{url}/studio/#/batches/{made.batch}")
    page.locator("a[download]").first.wait_for()
    return context.storage_state(), made


def take(browser, url, state, made, look):
    """Makes the pictures of one width and theme."""
    width, height, theme = look
    size = {"width": width, "height": height}
    settings = {"storage_state": state, "color_scheme": theme, "viewport": size}
    context = browser.new_context(locale="ko-KR", reduced_motion="reduce", **settings)
    for place, name in SHOWN.items():
        page = context.new_page()
        PLACES[place].open(page, url, made)
        page.wait_for_timeout(_SETTLE_MS)
        path = FOLDER / f"{name}_{width}.png"
        page.screenshot(path=path)
        page.close()
        n_bytes = path.stat().st_size
        print(f"{path.name}: {n_bytes / 1000:.0f} kB")
        if n_bytes > MOST_BYTES:
            raise SystemExit(f"{path} has {n_bytes} bytes, more than {MOST_BYTES}")


def main():
    """Reads the command line, and makes all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="the address of the server, without a path")
    parser.add_argument("--token", required=True, help="the end of the link that logs in")
    asked = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        state, made = logged_in_state(browser, asked.url, asked.token)
        for look in LOOKS:
            take(browser, asked.url, state, made, look)


if __name__ == "__main__":
    main()
