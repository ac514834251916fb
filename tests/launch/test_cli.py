"""The command `hclx`, in a checkout and from a wheel, and what it says if an extra is missing."""

import shutil
import subprocess
import sys
import zipfile

import pytest

import hclx
from hclx.cli import commands
from tests.conftest import ROOT, SAMPLE
from tests.helpers.commands import environment, refused

# Hides libraries from a command, then runs it.
_WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv[0] = "hclx"
from hclx.cli import main
main()
"""


def call(*arguments, code="from hclx.cli import main; main()", path=None, cwd="/"):
    variables = {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(variables=variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_script_is_a_command_and_says_what_it_does():
    scripts = {path.stem for path in (ROOT / "launch").glob("*.py")}
    assert set(commands()) == scripts and "pretrain" in scripts
    listed = call()
    assert listed.returncode == 0 and call("--help").stdout == listed.stdout
    for name, sentence in commands().items():
        assert f"  {name} " in listed.stdout and sentence in listed.stdout and len(sentence) < 80


def test_version_and_unknown_command():
    assert call("--version").stdout == f"{hclx.__version__}\n"
    unknown = call("train")
    assert unknown.returncode == 64 and "pretrain " in unknown.stderr
    assert unknown.stderr.startswith("error: 'train' is not a command of hclx\n")


def test_help_of_a_command_names_the_command():
    result = call("generate", "--help")
    assert result.returncode == 0 and "--max_tokens" in result.stdout
    assert "hclx generate --model_dir" in result.stdout and "python launch" not in result.stdout


def test_help_into_a_pipe_that_closes_early_is_no_error():
    code = "from hclx.cli import main; main()"
    command = f"'{sys.executable}' -c '{code}' pretrain --help | true"
    result = subprocess.run(
        command, shell=True, env=environment(), cwd="/", capture_output=True, text=True
    )
    assert result.stderr == ""


def test_errors_of_a_command_are_its_own():
    assert "--gin_file is missing" in refused(call("pretrain"), 64)
    assert "the command is missing: list, verify, rewind" in refused(call("checkpoint"), 64)
    for name, missing in {
        "build_corpus": "--config, --input and --output are missing; --help lists the options",
        "generate": "--model_dir or --engine is missing; --help lists the options",
    }.items():
        assert refused(call(name), 64) == f"error: {missing}"
    unknown = refused(call("checkpoint", "foo"), 64)
    assert unknown == "error: foo is no command; there are list, verify, rewind"


@pytest.mark.parametrize("script", ["hclx", pytest.param("launch", marks=pytest.mark.long)])
def test_a_task_module_in_the_working_directory_is_found(script, tmp_path):
    """Both by the installed command, whose folder is first on the import path, and by a script."""
    (tmp_path / "my_tasks.py").write_text("raise ValueError('found')\n")
    options = ["--mixture=m", "--task_module=my_tasks", "--tokenizer_dir=t", "--cache_dir=c"]
    code = "import sys; sys.path.remove(''); from hclx.cli import main; main()"
    if script == "launch":
        code = (
            f"import runpy, sys; sys.path.remove('');"
            f"runpy.run_path({str(ROOT / 'launch' / 'build_cache.py')!r}, run_name='__main__')"
        )
    arguments = options if script == "launch" else ["build_cache", *options]
    error = refused(call(*arguments, code=code, cwd=tmp_path), 64)
    assert "my_tasks.py:1 raises ValueError: found" in error


# Hidden libraries -> a command that needs them, and the extras that have them.
MISSING = {
    "kiwipiepy": (["train_tokenizer", f"--input={SAMPLE}", "--output_dir=t"], "data"),
    "seqio": (["pretrain", "--gin_file=runs/demo.gin", "--model_dir=run"], "data"),
    "tensorflow": (
        ["build_cache", "--mixture=sample", "--tokenizer_dir=t", "--cache_dir=c"],
        "data",
    ),
    "tensorflow_text matplotlib": (["demo"], "data,plot"),
    "apache_beam": (["build_corpus", "--config=c", "--input=i", "--output=o"], "corpus"),
    "pyarrow": (["inspect_corpus", "--output=o", "--doc_id=a/1"], "corpus"),
    "scipy": (["train_filter", "--good=g", "--output=o"], "corpus"),
    "libtpu": (["plan", "--gin_file=runs/pretrain.gin", "--topology=v5p:2x2x1"], "plan"),
    "yaml": (["train_tokenizer", "--corpus=c", "--output_dir=t"], "corpus"),
}
QUICK = ("kiwipiepy", "tensorflow_text matplotlib", "pyarrow", "yaml")


@pytest.mark.parametrize(
    "names", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in MISSING]
)
def test_a_missing_extra_is_named_in_one_line_before_any_work(names, tmp_path):
    hidden, (arguments, extra) = names.split(), MISSING[names]
    result = call(*arguments, code=_WITHOUT.format(hidden=hidden), cwd=tmp_path)
    error = refused(result, 64)
    assert f"hclx[{extra}]" in error and all(name in error for name in hidden)
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the content of a wheel, made from a copy of the tracked sources."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("hclx", "launch", "tasks", "gin_configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-c", "from setuptools import build_meta as b; b.build_wheel('..')"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_everything_under_one_name(installed, tmp_path):
    tops = {path.name for path in installed.iterdir()}
    assert tops == {"hclx", f"hclx-{hclx.__version__}.dist-info"}
    for folder, pattern in [
        ("launch", "**/*"), ("tasks", "**/*"), ("gin_configs", "**/*.gin"), ("hclx", "**/*"),
    ]:  # fmt: skip
        target = installed / "hclx" / ("" if folder == "hclx" else folder)
        files = [path for path in (ROOT / folder).glob(pattern) if path.is_file()]
        assert files
        for path in files:
            if "__pycache__" not in path.parts:
                assert (target / path.relative_to(ROOT / folder)).is_file(), path


def test_commands_of_a_wheel_find_their_files(installed, tmp_path):
    assert call(path=installed).stdout == call().stdout
    for file in ("gin_configs/runs/demo.gin", "runs/demo.gin"):
        stopped = call("pretrain", f"--gin_file={file}", path=installed, cwd=tmp_path)
        assert "--model_dir is missing" in refused(stopped, 64)
    code = "import hclx.tasks.corpora as c; print(c.__file__); print(c.SAMPLE.is_file())"
    corpora = call(code=code, path=installed, cwd=tmp_path).stdout.splitlines()
    assert corpora == [str(installed / "hclx" / "tasks" / "corpora.py"), "True"]


@pytest.mark.long
def test_a_task_module_in_the_working_directory_is_imported(installed, tmp_path):
    """An installed command has only its own folder on the path, as this code does."""
    pytest.importorskip("seqio")
    (tmp_path / "own_tasks.py").write_text("", encoding="utf-8")
    code = "import sys; sys.path.remove(''); from hclx.cli import main; main()"
    flags = ("pretrain", "--gin_file=runs/demo.gin", f"--model_dir={tmp_path / 'run'}")
    for module, message in [
        ("own_tasks", "is not registered by own_tasks; known are"),
        ("no_tasks", "'no_tasks' cannot be imported (No module named 'no_tasks'); it was looked"),
    ]:
        bindings = (f"--gin.DataConfig.task_module={module}", "--gin.DataConfig.mixture=sample")
        stopped = call(*flags, *bindings, code=code, path=installed, cwd=tmp_path)
        assert message in refused(stopped, 64)


def test_the_demo_removes_nothing_but_a_run(tmp_path):
    for library in ("seqio", "tensorflow", "tensorflow_text", "kiwipiepy", "matplotlib"):
        pytest.importorskip(library)
    (tmp_path / "letters.txt").write_text("소중한 글", encoding="utf-8")
    stopped = call("demo", f"--model_dir={tmp_path}")
    assert "holds no run" in refused(stopped, 64)
    assert (tmp_path / "letters.txt").is_file()
