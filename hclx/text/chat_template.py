"""The template by which a tokenizer writes a chat as text: Jinja, in a sandbox."""

from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError, DataError, require
from hclx.text.tokenizer import Tokenizer


class ChatTemplate:
    """Writes messages as the model was trained to read them."""

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
        self._template, self._names = _compiled(source), tokenizer.special_names()

    def render(self, messages: Sequence[Mapping[str, object]], is_asked: bool) -> str:
        """Returns the text of a chat, in which special tokens are spelled.

        Args:
          messages: each with its "role" and "content".
          is_asked: whether the text with which the assistant begins stands at the end.
        Raises:
          DataError: the template refuses them.
        """
        import jinja2

        try:
            names = self._names
            return self._template.render(messages=messages, add_generation_prompt=is_asked, **names)
        except jinja2.TemplateError as error:
            raise DataError(f"the template of chats refuses it: {error}") from error


def _compiled(source: str):
    require("jinja2", extra="convert")
    import jinja2.sandbox

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise DataError(f"the template of chats cannot be read: {error}") from error
