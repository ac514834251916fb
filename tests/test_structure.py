"""The shape of the code: which package may import which, where heavy libraries are imported, sizes,
docstrings, names of modules, declared requirements, and the format.
"""

import ast
import functools
import importlib.metadata
import re
import subprocess
import sys
from collections import defaultdict

import pytest

from hclx.errors import EXTRA_OF
from tests.conftest import ROOT
from tests.helpers.commands import environment

# Imports run one way: a package may use those that it names, and itself.
LAYERS = {
    "errors": (),
    "progress": (),
    "hashing": (),
    "read_errors": (),
    "utf8": ("errors",),
    "field_checks": ("errors",),
    "model_config": ("errors", "field_checks"),
    "config": ("errors", "field_checks", "model_config"),
    "parallel": ("config", "errors"),
    "model": ("config", "errors", "parallel"),
    "text": ("config", "errors"),
    "data": ("config", "errors", "text"),
    "corpus": ("config", "errors", "text", "data"),
    "train": ("config", "errors", "field_checks", "model", "parallel", "text", "data"),
    "infer": ("config", "errors", "model", "parallel", "text", "train"),
    "prompts": ("errors", "text"),
    "evaluate": (
        *("config", "errors", "field_checks", "text", "prompts", "infer", "model", "parallel"),
        "train",
    ),
    # Beside evaluate, of which it takes readers, drawn examples and folders; filters are those of
    # the corpus, so that what a model writes meets what is asked of documents.
    "augment": ("errors", "text", "corpus", "prompts", "infer", "evaluate"),
    "convert": ("config", "errors", "model", "parallel", "text", "train"),
    "tune": (
        *("config", "model_config", "errors", "field_checks", "text", "data", "model", "parallel"),
        *("train", "infer", "convert", "prompts", "gin_bindings"),
    ),
    "distill": (
        *("config", "model_config", "errors", "field_checks", "data", "model", "parallel"),
        *("train", "infer", "prompts", "tune", "gin_bindings", "text"),
    ),
    # Above tune, augment and distill, whose work it offers to others.
    "serve": (
        *("config", "errors", "field_checks", "text", "infer", "prompts", "evaluate", "tune"),
        *("augment", "distill"),
    ),
    "studio": ("errors", "field_checks", "text", "infer", "prompts", "evaluate", "serve", "tune"),
    "plan": ("config", "errors", "model", "parallel", "train"),
    "gin_bindings": ("config", "errors"),
    "child_processes": (),
    "launching": ("errors", "parallel"),
    "shared_flags": ("parallel", "infer", "tune", "convert"),
    "cli": ("errors",),
    # Beside hclx/ in a checkout, in it in a wheel. Nothing above imports them: the task module is
    # named by a setting, and the scripts of launch/ by the command line.
    "tasks": ("errors", "text", "data", "prompts", "evaluate"),
    "launch": (
        *("errors", "config", "gin_bindings", "child_processes", "launching", "tasks"),
        "shared_flags",
        *("text", "data", "corpus", "parallel", "model", "train", "infer", "plan", "convert"),
        *("prompts", "evaluate", "augment", "tune", "distill", "serve", "studio"),
    ),
}
EVERYWHERE = ("progress", "hashing", "read_errors", "utf8")
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
    "hclx/convert/pickles.py",
    "hclx/evaluate/lm_eval.py",
    "hclx/text/seqio_imports.py",
    "hclx/text/decoding.py",
    "hclx/text/parquet_rows.py",
    "hclx/text/pretokenizers.py",
    "hclx/train/plot.py",
    "hclx/gin_bindings.py",
    "hclx/corpus/beam_runner.py",
    "hclx/corpus/taggers/language.py",
)
OF_CORPUS = ("pyarrow",)
# Modules of the same name in two packages, where the field has one word for both.
SAME_NAMES = {"pipeline"}  # stages of the corpus, and pipeline parallelism
# Imported from a library that another requirement always brings.
BROUGHT = {
    **{"grpc": "apache-beam", "pydantic_core": "pydantic", "libtpu": "jax"},
    **{"mecab_ko": "sacrebleu", "markupsafe": "jinja2", "regex": "tiktoken"},
}

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


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "modules",
    [
        "hclx.model, hclx.train, hclx.infer",
        "hclx.text",
        "hclx.data, hclx.launching",
        "hclx.evaluate.suite, hclx.evaluate.report, hclx.tasks.suite_runs",
        "hclx.tune.peft_format, hclx.tune.input_gradient",
    ],
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


def imports_run_one_way(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[1] if parts[0] == "hclx" else parts[0]
    if package == "__init__":
        return
    for module in imported(tree_of(path)):
        top, *rest = module.split(".")
        assert top not in ("tasks", "launch", "tests"), f"{name(path)} may not import {module}"
        if top == "hclx" and rest and rest[0] != package:
            assert rest[0] in (*EVERYWHERE, *LAYERS[package]), f"{package} may not import {module}"
        if top in HEAVY:
            assert name(path) in HOMES or (package == "corpus" and top in OF_CORPUS), (
                f"{name(path)} may not import {module}"
            )


def modules_and_functions_are_short_and_say_what_they_are_for(path):
    source, tree = path.read_text(encoding="utf-8"), tree_of(path)
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


# Names of the standard library that macOS has not.
LINUX_ONLY = {
    "os": "sched_getaffinity sched_setaffinity pidfd_open memfd_create eventfd setns unshare"
    " copy_file_range splice posix_fadvise posix_fallocate fdatasync getxattr setxattr pipe2"
    " process_cpu_count O_DIRECT O_TMPFILE",
    "signal": "sigtimedwait sigwaitinfo pidfd_send_signal SIGRTMIN SIGPWR SIGSTKFLT SIGPOLL",
    "select": "epoll",
    "time": "CLOCK_BOOTTIME",
    "resource": "prlimit RLIMIT_RTPRIO",
}


def what_only_linux_has_is_looked_for_before_it_is_used(path):
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = node.value.id
            if node.attr in LINUX_ONLY.get(module, "").split():
                assert f'hasattr({module}, "{node.attr}")' in source, f"{module}.{node.attr}"


def docstrings_are_sentences(path):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, documented) and (docstring := ast.get_docstring(node)):
            assert not re.match(r"(What|Of|Where)\b", docstring), docstring


# Words that do not say what a variable, an argument, a field or a function is.
VAGUE = set("one found about given there wanted said mine".split())


def defined(tree):
    """Yields the names that a module defines, and the lines where it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            yield getattr(node, "asname", None) or node.name, node.lineno
        elif isinstance(node, ast.MatchMapping):
            yield node.rest, node.lineno


def names_say_what_they_name(path):
    vague = {(name, line) for name, line in defined(tree_of(path)) if name in VAGUE}
    assert not vague, f"{sorted(vague)}: name them by what they are"


def test_a_vague_name_is_noticed_wherever_it_is_defined():
    code = """
import a as one
class C:
    found: int
    def about(self, given, *there, said=1, **mine): self.wanted = 1
for one in (): pass
def f():
    with g() as found: pass
    try: h()
    except E as about: pass
    [(given := there) for there in ()]
    match x:
        case {"k": said, **mine}: pass
        case [*wanted]: pass
lambda one: one
"""
    lines = [line for name, line in defined(ast.parse(code)) if name in VAGUE]
    assert sorted(lines) == [2, 4, 5, 5, 5, 5, 5, 5, 6, 8, 10, 11, 11, 13, 13, 14, 15]


def commands_are_named_as_a_wheel_has_them(path):
    """In messages, help and docstrings: a wheel has no launch/pretrain.py but `hclx pretrain`."""
    if name(path) != "hclx/cli.py":  # which says that they are the same
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"\blaunch/\w+\.py|\.venv/", node.value), node.value


RULES = (
    imports_run_one_way,
    modules_and_functions_are_short_and_say_what_they_are_for,
    what_only_linux_has_is_looked_for_before_it_is_used,
    docstrings_are_sentences,
    names_say_what_they_name,
    commands_are_named_as_a_wheel_has_them,
)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_module_follows_the_rules(path):
    for rule in RULES:
        rule(path)


def test_two_packages_have_no_module_of_the_same_name():
    packages = defaultdict(set)
    for path in MODULES:
        packages[path.stem].add(name(path.parent))
    del packages["__init__"]
    twice = {module: sorted(places) for module, places in packages.items() if len(places) > 1}
    assert set(twice) <= SAME_NAMES, twice


def declared():
    """Returns the distributions that setup.py requires, in its extras too."""
    strings = (n.value for n in ast.walk(tree_of(ROOT / "setup.py")) if isinstance(n, ast.Constant))
    requirements = (re.match(r"([\w.-]+)(\[\w+\])?[<>=]=", s) for s in strings if type(s) is str)
    return {normalised(match[1]) for match in requirements if match}


def normalised(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_import_is_declared():
    distributions = importlib.metadata.packages_distributions()
    tops = {module.split(".")[0] for path in ALL for module in imported(tree_of(path))}
    for top in tops - sys.stdlib_module_names - {"hclx", "google"}:  # google.protobuf
        names = {normalised(name) for name in distributions.get(top, [top])} | {BROUGHT.get(top)}
        assert names & declared(), f"{top} is imported, and setup.py does not require it"


def test_the_extras_are_those_of_the_error_for_a_missing_one():
    extras = next(
        ast.literal_eval(node.value)
        for node in tree_of(ROOT / "setup.py").body
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXTRAS"
    )
    distributions = importlib.metadata.packages_distributions()
    for library, extra in EXTRA_OF.items():
        required = {normalised(re.split(r"[<>=\[]", text)[0]) for text in extras[extra]}
        names = {normalised(d) for d in distributions.get(library, [library])}
        assert required & {*names, BROUGHT.get(library)}, library


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(arguments):
    pytest.importorskip("ruff")
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--quiet", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
