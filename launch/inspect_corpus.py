"""Explains why a document was kept or removed, or how the rules treat a text:

hclx inspect_corpus --output=DIR --doc_id=SOURCE/ID
hclx inspect_corpus --config=corpus.yaml --source=NAME --text='...'
"""

import sys

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run

OUTPUT = flags.DEFINE_string("output", None, "Folder of a corpus.")
DOC_ID = flags.DEFINE_string("doc_id", None, "The document: SOURCE/ID, or its beginning.")
TEXT = flags.DEFINE_string("text", None, "A text to explain; - reads standard input.")
CONFIG = flags.DEFINE_string("config", None, "YAML file of a corpus, for --text.")
SOURCE = flags.DEFINE_string(
    "source", None, "A source of the YAML file, for --text: its rules apply."
)


def main(_):
    by_text = TEXT.value is not None
    needed = (
        {"config": CONFIG.value, "source": SOURCE.value}
        if by_text
        else {"output": OUTPUT.value, "doc_id": DOC_ID.value}
    )
    if missing := [f"--{name}" for name, value in needed.items() if not value]:
        raise ConfigError(
            f"missing: {', '.join(missing)}; give --output and --doc_id, or --config, --source and"
            " --text"
        )
    from hclx.corpus.explain import explain, explain_text
    from hclx.corpus.settings import load_settings
    from hclx.corpus.settings_errors import locating
    from hclx.corpus.store import Store

    if not by_text:
        print(explain(Store(OUTPUT.value), DOC_ID.value))
        return
    text = sys.stdin.read() if TEXT.value == "-" else TEXT.value
    with locating(CONFIG.value):
        print(explain_text(text, load_settings(CONFIG.value), SOURCE.value))


if __name__ == "__main__":
    run(main)
