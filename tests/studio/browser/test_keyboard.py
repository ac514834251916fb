"""The main way through the Studio by the keyboard alone: no mouse, and no focus by a script."""

from tests.helpers.browser import tab_to
from tests.helpers.tuning_service import until


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def test_the_keyboard_alone_reaches_a_link_to_a_prompt_from_the_gallery(page, studio, browser):
    studio.write, studio.pause = (lambda prompt, seed: " 맛있고 값이 싸다는 후기. " * 30), 0.03
    tab_to(page, page.get_by_role("button", name="후기 여러 개를 한 문장으로"))
    press(page, "Enter")
    # A dialog begins at what is most likely wanted.
    tab_to(page, page.get_by_role("button", name="이걸로 시작하기"), most=4)
    press(page, "Enter")
    page.get_by_role("textbox", name="제목", exact=True).wait_for()
    tab_to(page, page.get_by_role("textbox", name="지시", exact=True))
    press(page, "Control+Home", "End")
    page.keyboard.type(" 짧게 씁니다.")
    tab_to(page, page.get_by_role("button", name="실행", exact=True))
    press(page, "Enter")
    page.locator(".token-text", has_text="맛있고").wait_for()
    # Where the run was begun it is stopped.
    tab_to(page, page.get_by_role("button", name="멈춤", exact=True), most=3)
    press(page, "Space")
    page.get_by_text("멈췄습니다.", exact=True).wait_for()
    until(lambda: studio.n_cancelled == 1)
    tab_to(page, page.get_by_role("button", name="버전으로 저장"), back=True)
    press(page, "Enter")
    note = page.get_by_role("textbox", name="무엇이 달라졌나요?")
    tab_to(page, note, most=3)
    page.keyboard.type("짧게")
    press(page, "Enter")
    page.get_by_text("1번 버전으로 저장했습니다.").wait_for()
    # The dialog gives the focus back to the button that opened it.
    assert page.get_by_role("button", name="버전으로 저장").evaluate("e => e.matches(':focus')")
    tab_to(page, page.get_by_role("link", name="공유·앱"))
    press(page, "Enter")
    page.get_by_role("button", name="링크 만들어 복사").wait_for()
    read_only = page.get_by_role("radio", name="보기만")
    tab_to(page, read_only)
    press(page, "ArrowRight")
    assert page.get_by_role("radio", name="가져가 고칠 수 있음").is_checked()
    tab_to(page, page.get_by_role("button", name="링크 만들어 복사"), most=3)
    press(page, "Enter")
    link = page.get_by_role("link", name="1번 버전 · 가져가 고칠 수 있음: 열기")
    address = link.get_attribute("href")
    reader = browser.new_context(locale="ko-KR").new_page()
    reader.goto(address)
    reader.get_by_text("짧게 씁니다.").first.wait_for()
    reader.context.close()
    tab_to(page, page.get_by_role("button", name="1번 버전 · 가져가 고칠 수 있음: 링크 끄기"))
    press(page, "Enter")
    tab_to(page, page.get_by_role("dialog").get_by_role("button", name="링크 끄기"), most=4)
    press(page, "Space")
    page.get_by_text("링크를 껐습니다.").wait_for()


def test_the_first_key_skips_the_menu(page, studio):
    press(page, "Tab")
    assert page.get_by_role("button", name="본문으로").evaluate("e => e.matches(':focus')")
    press(page, "Enter")
    press(page, "Tab")
    assert page.locator("main :focus").count() == 1
