"""The commands of docs/models.md, word for word, from one folder of a model to the next."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.helpers.commands import environment
from tests.helpers.families import save_model
from tests.helpers.trained_tokenizer import save_tokenizer

pytestmark = pytest.mark.long
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")


def commands_of(page: str) -> list[list[str]]:
    """The commands hclx of the first block of shell commands of a page, in their order."""
    block = re.search(r"```sh\n(.+?)```", page, re.DOTALL)[1].replace("\\\n", " ")
    commands = (shlex.split(line) for line in block.splitlines() if line.startswith("hclx "))
    return [arguments for _, *arguments in commands]


def test_the_recipe_of_the_documentation(root, tmp_path, sample_texts):
    folder = tmp_path / "models" / "some-llama"
    save_model("llama tied", folder, vocab_size=1024)
    save_tokenizer(folder, sample_texts)
    (tmp_path / "laws.txt").write_text("\n\n".join(sample_texts), encoding="utf-8")
    output = {}
    for arguments in commands_of((root / "docs" / "models.md").read_text(encoding="utf-8")):
        result = subprocess.run(
            [sys.executable, "-m", "hclx.cli", *arguments],
            env=environment(variables={"PYTHONPATH": str(root)}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert result.returncode == 0, (arguments, result.stderr)
        output[" ".join(arguments[:2])] = result.stdout + result.stderr
    assert list(output)[:2] == ["convert inspect", "convert import"]
    assert list(output)[-1] == "convert export"
    training = next(text for name, text in output.items() if name.startswith("pretrain"))
    bits = re.findall(r"step (\d+): validation loss \S+ (\S+) bits a byte", training)
    assert [int(step) for step, _ in bits] == [0, 50, 100]
    assert float(bits[0][1]) > float(bits[1][1]) > float(bits[2][1])
    exported = tmp_path / "models" / "laws-llama"
    kept = (folder / "tokenizer.json").read_bytes()
    assert (exported / "model.safetensors").is_file()
    assert (exported / "tokenizer.json").read_bytes() == kept
