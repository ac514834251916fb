"""The shape of the code: what may import what, what is imported where heavy libraries are absent,
sizes, docstrings.
"""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.launch.command import environment

# Imports run one way: a package may use those before it, and itself.
LAYERS = {
    "errors": (),
    "progress": (),
    "hashing": (),
    "config": ("errors",),
    "parallel": ("config", "errors"),
    "model": ("config", "errors", "parallel"),
    "text": ("errors",),
    "data": ("config", "errors", "text"),
    "corpus": ("config", "errors", "text", "data"),
    "infer": ("config", "errors", "model", "text"),
    "train": ("config", "errors", "model", "parallel", "text", "data"),
    "plan": ("config", "errors", "parallel", "train"),
    "gin_bindings": ("config", "errors"),
    "launching": ("errors", "parallel"),
}
MODULES = sorted((ROOT / "hclx").rglob("*.py"))
ALL = [*MODULES, *sorted((ROOT / "tasks").rglob("*.py")), *sorted((ROOT / "launch").rglob("*.py"))]
HEAVY = (
    "tensorflow",
    "tensorflow_text",
    "seqio",
    "gin",
    "kiwipiepy",
    "matplotlib",
    "torch",
    "transformers",
    "apache_beam",
    "pyarrow",
    "py3langid",
)
# Where heavy libraries may be imported; `hclx/corpus` is an extra of its own, and Beam is one
# module's business there.
HOMES = (
    "hclx/data/seqio_bridge.py",
    "hclx/text/vocabulary.py",
    "hclx/text/pretokenizers.py",
    "hclx/train/plot.py",
    "hclx/gin_bindings.py",
    "hclx/corpus/beam_runner.py",
    "hclx/corpus/taggers/language.py",
)
OF_CORPUS = ("pyarrow",)

_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import {modules}
"""


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "modules", ["hclx.model, hclx.train, hclx.infer", "hclx.text", "hclx.data, hclx.launching"]
)
def test_the_core_needs_no_heavy_library(modules):
    code = _WITHOUT.format(heavy=HEAVY, modules=modules)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd="/", capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_run_one_way(path):
    parts = path.relative_to(ROOT / "hclx").with_suffix("").parts
    package = parts[0]
    if package == "__init__":
        return
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        top, *rest = module.split(".")
        if top == "hclx" and rest and rest[0] != package:
            assert rest[0] in ("progress", "hashing", *LAYERS[package]), f"{package} may not import {module}"
        if top in HEAVY:
            assert name(path) in HOMES or (package == "corpus" and top in OF_CORPUS), (
                f"{name(path)} may not import {module}"
            )


@pytest.mark.parametrize("path", ALL, ids=name)
def test_modules_and_functions_are_short_and_say_what_they_are_for(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert not source or ast.get_docstring(tree), "no docstring"
    assert source.count("\n") <= (100 if path.parent.name == "launch" else 400)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"
    public = [
        n
        for n in tree.body
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and not n.name.startswith("_")
    ]
    for node in public:
        assert ast.get_docstring(node) or node.name == "main", f"{node.name} has no docstring"
