"""Shows a prompt as a model reads it, token by token, and warns of traps:
hclx prompt render FILE --model_dir=runs/demo, and hclx prompt lint FILE...

lint also takes folders, whose files *.json it reads; hclx prompt schema prints the JSON Schema of
the documents.
"""

import sys

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run

MODEL_DIR = flags.DEFINE_string("model_dir", None, "A training run, whose tokens are shown.")
TOKENIZER_DIR = flags.DEFINE_string("tokenizer_dir", None, "A tokenizer, in place of a run.")
FIELDS = flags.DEFINE_multi_string(
    "field", [], "NAME=VALUE: a field of the item, repeatable; default: each holds its own name."
)
ARTEFACT = flags.DEFINE_string("artefact", None, "A tuned soft prompt, whose slots are shown.")
JSON = flags.DEFINE_bool("json", False, "Print JSON in place of a table.")


def main(argv):
    from hclx.prompts import lint, load_prompt, print_prompt, prompt_schema

    command, *paths = argv[1:]
    if command == "render" and len(paths) > 1 or command == "schema" and paths:
        raise ConfigError(f"unexpected argument {paths[-1]!r}; options start with --")
    if command == "schema":
        print(prompt_schema(), end="")
        return
    if not paths:
        raise ConfigError(f"the prompt document is missing: hclx prompt {command} FILE")
    if command == "render":
        document = load_prompt(paths[0])
        fields = print_prompt.fields_of(document, FIELDS.value)
        tokenizer, slots = _tokenizer(), _slots()
        if slots and tokenizer is None:
            raise ConfigError(
                "--artefact needs --model_dir or --tokenizer_dir, whose tokens it joins"
            )
        print(print_prompt.rendering(document, fields, tokenizer, JSON.value, slots))
        return
    documents = print_prompt.documents_of(paths)
    fields = {
        path: print_prompt.fields_of(document, FIELDS.value) for path, document in documents.items()
    }
    tokenizer = _tokenizer()
    findings = {
        path: lint(document, tokenizer, fields[path]) for path, document in documents.items()
    }
    print(print_prompt.warnings(findings, tokenizer is not None, JSON.value))


def _slots():
    """Returns the ids of the soft slots of the artefact; none if the options name none."""
    if ARTEFACT.value is None:
        return ()
    from hclx.tune.artefact import read_artefact, slots_of

    return slots_of(read_artefact(ARTEFACT.value), ARTEFACT.value)


def _tokenizer():
    """Returns the tokenizer of the options; None if they name none."""
    from hclx.text import load_tokenizer

    tokenizer_dir = TOKENIZER_DIR.value
    if MODEL_DIR.value and tokenizer_dir:
        raise ConfigError("--model_dir has a tokenizer: leave --tokenizer_dir out")
    if MODEL_DIR.value:
        from hclx.train.run_dir import read_run

        _, tokenizer_dir = read_run(MODEL_DIR.value)
    return load_tokenizer(tokenizer_dir) if tokenizer_dir else None


if __name__ == "__main__":
    run(main, ("render", "lint", "schema"), operands=sys.maxsize)
