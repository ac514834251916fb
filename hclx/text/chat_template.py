"""The template by which a tokenizer writes a chat as text: Jinja, in a sandbox."""

import json
from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError, DataError, require
from hclx.text.tokenizer import Tokenizer


class ChatTemplate:
    """Writes messages as the model was trained to read them.

    Attributes:
      source: the template.
      takes_tools: whether it tells the model of functions that may be called.
    """

    def __init__(self, tokenizer: Tokenizer):
        """Compiles the template of a tokenizer.

        Raises:
          ConfigError: it has none.
          DataError: the template cannot be read.
          MissingExtraError: jinja2 is not installed.
        """
        source = getattr(tokenizer, "chat_template", "")
        if not source:
            raise ConfigError("the tokenizer has no template of chats")
        self.source = source
        self._template, self.takes_tools = _compiled(source)
        self._names = tokenizer.special_names()

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        is_asked: bool,
        tools: Sequence[Mapping[str, object]] = (),
    ) -> str:
        """Returns the text of a chat, in which special tokens are spelled.

        Args:
          messages: each with its "role" and "content", and "tool_calls" whose arguments are
            objects.
          is_asked: whether the text with which the assistant begins stands at the end.
          tools: the functions that may be called, as JSON schemas in the form of OpenAI.
        Raises:
          DataError: the template refuses them.
        """
        import jinja2

        try:
            names = {**self._names, "tools": list(tools)} if tools else self._names
            return self._template.render(messages=messages, add_generation_prompt=is_asked, **names)
        except jinja2.TemplateError as error:
            raise DataError(f"the template of chats refuses it: {error}") from error


def _compiled(source: str):
    """The template, and whether it names tools."""
    require("jinja2", extra="convert")
    import jinja2.meta
    import jinja2.sandbox

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = _to_json
    try:
        names = jinja2.meta.find_undeclared_variables(environment.parse(source))
        return environment.from_string(source), "tools" in names
    except jinja2.TemplateError as error:
        raise DataError(f"the template of chats cannot be read: {error}") from error


def _to_json(value: object, ensure_ascii: bool = False, **settings) -> str:
    """JSON as templates are written for: Jinja's own filter escapes what HTML would misread."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **settings)
