"""Shows a prompt document as a model reads it, token by token, and warns of known traps:
hclx prompt render FILE --model_dir=runs/demo, and hclx prompt lint FILE
"""

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run

MODEL_DIR = flags.DEFINE_string("model_dir", None, "A training run, whose tokens are shown.")
TOKENIZER_DIR = flags.DEFINE_string("tokenizer_dir", None, "A tokenizer, in place of a run.")
FIELDS = flags.DEFINE_multi_string(
    "field", [], "NAME=VALUE: a field of the item, repeatable; default: each holds its own name."
)
JSON = flags.DEFINE_bool("json", False, "Print JSON in place of a table.")


def main(argv):
    if len(argv) < 3:
        raise ConfigError(f"the prompt document is missing: hclx prompt {argv[1]} FILE")
    from hclx.prompts import lint, load_prompt, print_prompt

    document = load_prompt(argv[2])
    tokenizer = tokenizer_of(MODEL_DIR.value, TOKENIZER_DIR.value)
    fields = print_prompt.fields_of(document, FIELDS.value)
    if argv[1] == "render":
        print(print_prompt.rendering(document, fields, tokenizer, JSON.value))
    else:
        findings = lint(document, tokenizer, fields)
        print(print_prompt.findings(findings, tokenizer is not None, JSON.value))


def tokenizer_of(model_dir: str | None, tokenizer_dir: str | None):
    """Returns the tokenizer of a run or of a folder; None if neither has a name."""
    from hclx.text import load_tokenizer

    if model_dir and tokenizer_dir:
        raise ConfigError("--model_dir has a tokenizer: leave --tokenizer_dir out")
    if model_dir:
        from hclx.train.run_dir import read_run

        _, tokenizer_dir = read_run(model_dir)
    return load_tokenizer(tokenizer_dir) if tokenizer_dir else None


if __name__ == "__main__":
    run(main, ("render", "lint"), operands=1)
