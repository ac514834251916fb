"""Brings a model of the transformers library in, and takes ours out: hclx convert
import|export|inspect

  import   makes a run of a folder with config.json, safetensors and tokenizer.json
  export   writes a checkpoint of a run as such a folder
  inspect  says what a folder holds, and what would be ignored or refused, without reading weights
"""

import os

from absl import flags

os.environ["JAX_PLATFORMS"] = "cpu"  # nothing is computed, so that no accelerator is taken

from hclx.errors import ConfigError
from hclx.launching import run

INPUT = flags.DEFINE_string("input", "", "Folder of transformers, for import and inspect.")
MODEL_DIR = flags.DEFINE_string("model_dir", "", "Folder of a run: import makes it.")
OUTPUT_DIR = flags.DEFINE_string("output_dir", "", "Folder that export makes.")
STEP = flags.DEFINE_integer("step", None, "Checkpoint to export; default: the newest.", 0)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16", "float16"], "Of the weights that export writes."
)
ALLOW_BIN = flags.DEFINE_bool(
    "allow_bin", False, "Read pickled weights, *.bin, by PyTorch, which runs none of their code."
)
FAMILY = flags.DEFINE_string(
    "family", "", "The model_type that export writes; default: the first one that fits."
)


def main(argv):
    commands = {
        "import": (import_folder, ("input", INPUT), ("model_dir", MODEL_DIR)),
        "export": (export_run, ("model_dir", MODEL_DIR), ("output_dir", OUTPUT_DIR)),
        "inspect": (inspect, ("input", INPUT)),
    }
    command, *needed = commands[argv[1]]
    for name, flag in needed:
        if not flag.value:
            raise ConfigError(f"--{name} is missing; {argv[1]} needs it")
    from hclx.train.malloc import return_freed_memory

    return_freed_memory()
    command()


def import_folder() -> None:
    """Imports a folder, and prints what it is now."""
    from hclx.convert.importing import import_model

    source, n_params = import_model(INPUT.value, MODEL_DIR.value, allow_bin=ALLOW_BIN.value)
    for note in source.notes:
        print(note)
    print(f"{MODEL_DIR.value}: {source.family}, {n_params:,} parameters, as step 0 of a run")


def export_run() -> None:
    """Exports a checkpoint, and prints what was written."""
    from hclx.convert.exporting import export_model

    made = export_model(
        *(MODEL_DIR.value, OUTPUT_DIR.value),
        step=STEP.value,
        family=FAMILY.value,
        dtype=DTYPE.value,
    )
    print(f"{OUTPUT_DIR.value}: {made.family}, {made.n_params:,} parameters of step {made.step:,}")
    if made.note:
        print(made.note)


def inspect() -> None:
    """Prints what a folder holds."""
    from hclx.convert.inspecting import describe

    print("\n".join(describe(INPUT.value)))


if __name__ == "__main__":
    run(main, commands=("import", "export", "inspect"))
