"""Addresses of the Studio: each shows its page, however early it changes."""


def test_an_address_that_changes_while_the_page_is_loaded_is_not_missed(context, page, studio):
    other = context.new_page()
    other.add_init_script("""
        const listen = window.addEventListener;
        window.addEventListener = function (kind, ...rest) {
            if (kind === "hashchange" && location.hash === "") {  // at the last moment
                history.replaceState(null, "", "#/prompts");
            }
            return listen.call(this, kind, ...rest);
        };
    """)
    other.goto(f"{studio.url}/studio/")
    other.get_by_role("heading", level=1, name="내 프롬프트").wait_for(timeout=10_000)
