"""Prompts of tests of the pages, and how tests ask the Studio beside them."""

TRICKY = "그는 '됐어'라고 \"말\"했다. $HOME `ls` \\n {x} 😀\n둘째 줄 %s"


def content(**document):
    """A content whose prompt writes; `document` has changes."""
    raw = {
        "schema": "hclx.prompt/1",
        "name": "감정",
        "input": "문장: {문장}\n감정:",
        "answer": " {답}",
    }
    raw |= {"answer_field": "답", "stop": ["\n\n"], "sampling": {"max_tokens": 100}}
    return {"schema": "hclx.studio/1", "document": raw | document, "item": {"문장": TRICKY}}


def ask(page, method, path, body=None):
    """Asks the Studio as who is logged in on a page; returns what it answers."""
    return page.evaluate(
        """async ([method, path, body]) => {
            const headers = {"Content-Type": "application/json"};
            const sent = body === null ? {} : {body: JSON.stringify(body), headers};
            const answer = await fetch(`api/${path}`, {method, ...sent});
            if (!answer.ok) throw new Error(await answer.text());
            return answer.json();
        }""",
        [method, path, body],
    )


def new_prompt(page, title="손님 말", raw=None):
    """Makes a prompt; returns its id."""
    body = {"title": title, "content": raw or content()}
    return ask(page, "POST", "prompts", body)["id"]


def save(page, prompt_id, note=""):
    """Saves a version of a prompt; returns its number."""
    revision = ask(page, "GET", f"prompts/{prompt_id}")["revision"]
    body = {"note": note, "revision": revision}
    return ask(page, "POST", f"prompts/{prompt_id}/versions", body)["number"]


def show(page, path):
    """Opens a page of the Studio, anew."""
    page.evaluate("path => { location.hash = `#/${path}`; }", path)
    page.reload()
