"""An engine that gives the texts that a test has written, and chats over it."""

from hclx.infer import Generation, Part, TokenLogprob
from hclx.infer.ticket import Ticket
from hclx.serve.backend import Backend
from hclx.text.chat_template import ChatTemplate
from tests.helpers.serving import TextTokenizer

# Templates that tell of functions and write calls, each in another form; the words are our own.
HERMES = (
    "{% if tools %}[함수]{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "부를 때는 <tool_call></tool_call> 안에 쓴다.\n{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
HYPERCLOVA = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}"
    "{% if m.tool_calls %} -> tool/function_call\n[{% for c in m.tool_calls %}"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'
    "{% endfor %}]{% else %}>{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant{% endif %}"
)


class ByteChatTokenizer(TextTokenizer):
    """A tokenizer of bytes with a template of chats."""

    def __init__(self, template):
        """Takes the template."""
        super().__init__(256)
        self.chat_template = template

    def special_names(self):
        """Returns no names."""
        return {}

    def encode_special(self, text):
        """Returns the ids of a text."""
        return self.encode(text)


class ScriptedChatEngine:
    """Answers each request with the next text, a token for each byte and a part for each
    character.

    Attributes:
      prompts: the texts of the requests so far.
      requests: these.
    """

    def __init__(self, *texts):
        """Takes the texts."""
        self._texts, self.prompts, self.requests = list(texts), [], []

    def submit(self, request):
        """Returns a ticket that is done."""
        self.requests.append(request)
        self.prompts.append(bytes(request.prompt).decode())
        text, ticket = self._texts.pop(0), Ticket(lambda ticket: None)
        entries = tuple(TokenLogprob(byte, -1.0) for byte in text.encode())
        has_logprobs = request.sampling.logprobs is not None
        for char in text:
            tokens = tuple(char.encode())
            logprobs = tuple(TokenLogprob(token, -1.0) for token in tokens)
            ticket.add_parts([Part(char, tokens, logprobs if has_logprobs else None)])
        tokens = tuple(text.encode())
        logprobs = entries if has_logprobs else None
        ticket.finish(Generation(text, tokens, "end", len(request.prompt), 0, logprobs))
        return ticket


def scripted_backend(*texts, template=HERMES):
    """A backend that serves such an engine as "chat"."""
    tokenizer = ByteChatTokenizer(template)
    models = {"chat": None}
    return Backend(
        ScriptedChatEngine(*texts), tokenizer, models, 10**6, "", ChatTemplate(tokenizer)
    )
