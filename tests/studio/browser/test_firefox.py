"""The main way through the Studio in Firefox: from the login to a link that is revoked."""

import pytest

from tests.helpers.bidi import firefox

pytestmark = pytest.mark.long
TEXT = " 어서 오세요, 손님."
LONG = " 반갑습니다." * 60


@pytest.fixture(scope="module")
def fox():
    with firefox() as browser:
        yield browser


def answer(fox):
    tokens = "[...document.querySelectorAll('.token-text [data-token]')]"
    return fox.evaluate(f"{tokens}.map(e => e.textContent).join('')")


def part(fox, name):
    fox.click("link", name)


def test_firefox_walks_from_the_login_to_a_link_that_is_revoked(fox, studio):
    studio.reset()
    # Log in, and write.
    fox.go(f"{studio.url}/studio/#/login/{studio.link()}")
    fox.click("button", "빈 프롬프트")
    fox.fill("textbox", "제목", "불여우 인사")
    fox.fill("textbox", "지시", "공손하게 인사합니다.")
    fox.fill("textbox", "입력", "단골")
    # Run with streaming, stop, undo and redo.
    studio.write = lambda prompt, seed: TEXT
    fox.click("button", "실행")
    fox.find("button", "다시 실행")
    assert answer(fox) == TEXT
    studio.write, studio.pause = (lambda prompt, seed: LONG), 0.05
    fox.click("button", "다시 실행")
    fox.wait_until("document.querySelector('.token-text').textContent.includes('반갑습니다')")
    fox.click("button", "멈춤")
    fox.wait_for_text("멈췄습니다.")
    stopped = answer(fox)
    assert 0 < len(stopped) < len(LONG) and LONG.startswith(stopped)
    fox.click("button", "이전 답")
    fox.wait_until("!document.body.innerText.includes('멈췄습니다.')")
    assert answer(fox) == TEXT
    fox.click("button", "다음 답")
    fox.wait_for_text("멈췄습니다.")
    assert answer(fox) == stopped
    # Save a version, and reopen the prompt.
    fox.click("button", "버전으로 저장")
    fox.click("textbox", "무엇이 달라졌나요? (없어도 됩니다)")
    fox.type("첫 모습")
    fox.press("Enter")
    fox.wait_for_text("1번 버전으로 저장했습니다.")
    part(fox, "내 프롬프트")
    part(fox, "불여우 인사")
    assert fox.value("textbox", "지시") == "공손하게 인사합니다."
    # What differs, and the way back.
    fox.fill("textbox", "지시", "반갑게 인사합니다.")
    part(fox, "버전")
    fox.wait_until("document.querySelectorAll('ins').length > 0")
    assert fox.evaluate("document.querySelector('ins').textContent") == "반갑게 인사합니다."
    fox.click("button", "1번 버전: 되돌리기")
    fox.click("button", "남기고 되돌리기")
    fox.wait_for_text("지금 모습은 1번 버전과 같습니다.")
    # Share, read and revoke.
    part(fox, "공유·앱")
    fox.click("button", "링크 만들어 복사")
    address = fox.attribute("link", "1번 버전 · 보기만: 열기", "href")
    here = fox.evaluate("location.href")
    fox.go(address)
    fox.wait_for_text("공손하게 인사합니다.")
    fox.go(here)
    fox.click("button", "1번 버전 · 보기만: 링크 끄기")
    fox.find("button", "취소")
    fox.click("button", "링크 끄기")
    fox.wait_for_text("링크를 껐습니다.")
    assert not fox.faults
    fox.go(address)
    fox.wait_for_text("이 링크는 이제 열리지 않습니다")


def test_hangul_is_typed_and_enter_sends_a_message_once(fox, studio):
    studio.reset()
    studio.write = lambda prompt, seed: "네, 안녕하세요."
    fox.go(f"{studio.url}/studio/#/login/{studio.link()}")
    fox.click("button", "빈 프롬프트")
    fox.click("radio", "대화")
    fox.click("textbox", "메시지")
    fox.type("안녕하세요")
    fox.press("Enter")
    fox.wait_for_text("네, 안녕하세요.")
    bubbles = "[...document.querySelectorAll('.bubble')].map(e => e.textContent)"
    assert fox.evaluate(bubbles) == ["안녕하세요", "네, 안녕하세요."]
