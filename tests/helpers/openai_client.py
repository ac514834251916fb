"""The client of OpenAI from PyPI over an application in this process."""

import contextlib

from tests.helpers.serving import client_of


@contextlib.contextmanager
def openai_client(app, **settings):
    """An `openai.OpenAI` whose requests an application answers without sockets."""
    import httpx2
    import openai

    with client_of(app) as own:

        class Transport(httpx2.BaseTransport):
            def handle_request(self, request):
                url, content = str(request.url), request.read()
                answer = own.request(request.method, url, content=content, headers=request.headers)
                return httpx2.Response(
                    answer.status_code, headers=answer.headers, content=answer.content
                )

        http = httpx2.Client(transport=Transport())
        settings = {"max_retries": 0, **settings, "api_key": "any", "http_client": http}
        yield openai.OpenAI(base_url="http://localhost/v1", **settings)
