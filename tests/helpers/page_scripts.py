"""Modules of the Studio's pages, called in a browser as if they were functions of Python."""


class PageScripts:
    """Calls functions of modules below js/, of the pages that a server has."""

    def __init__(self, page, url: str):
        """Takes a page of this server, and its address."""
        self._page, self._url = page, url

    def run(self, names: str, module: str, body: str, *values):
        """Returns what the body of an asynchronous function returns, as JSON has it.

        Args:
          names: of what it imports, such as "accuracy, wilson".
          module: that has them, such as "evaluation.js".
          body: in JavaScript; `values` are there as an array of this name.
          values: for it.
        """
        script = f"""async (values) => {{
          const {{ {names} }} = await import("{self._url}/studio/js/{module}");
          {body}
        }}"""
        return self._page.evaluate(script, list(values))
