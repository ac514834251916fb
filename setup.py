"""Packaging of hclx. The core needs neither TensorFlow nor seqio: the `data` extra has them."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "hclx" / "__init__.py").read_text())[1]

# Folders of the top level that a wheel holds inside of the package, as `hclx.launch` and so on: a
# wheel takes no other name than `hclx` in its user's environment. See hclx/__init__.py.
BESIDE = ("launch", "tasks", "gin_configs")

EXTRAS = {
    # Raw text to token cache: seqio mixtures, the in-graph tokenizer, morpheme analysis.
    "data": [
        "seqio>=0.0.20,<0.1",
        "tensorflow>=2.20,<2.22",
        "tensorflow-text>=2.20,<2.22",
        "kiwipiepy>=0.24,<0.25",
    ],
    # Raw files to a clean mixture.
    "corpus": [
        "annotated-types>=0.6",
        "apache-beam>=2.69,<2.78",
        "ftfy>=6.3,<7",
        "jinja2>=3.1,<4",
        "py3langid>=0.4,<0.5",
        "pyarrow>=18,<26",
        "pydantic>=2.9,<3",
        "pydantic-core",
        "pyyaml>=6",
        "scipy>=1.13",
    ],
    "plot": ["matplotlib>=3.8"],
    # Models and tokenizers of others.
    "convert": ["jinja2>=3.1,<4", "tokenizers>=0.21"],
    "grammar": ["llguidance>=1.3,<2"],  # text that follows a schema, and no other dependency
    # The engine over a server of models: many streams, each of which can be closed at any time.
    "remote": ["httpx2>=2.16,<3"],
    # The engine behind HTTP, and the store of its keys in SQLite or PostgreSQL.
    "serve": [
        "msgspec>=0.19,<1",
        "prometheus-client>=0.22,<1",
        "psycopg[binary]>=3.2,<4",
        "python-multipart>=0.0.20,<0.1",  # files that forms bring
        "sqlalchemy>=2.0.40,<3",
        "starlette>=0.49.1,<2",  # earlier ones take the square of a Range header's length
        "uvicorn>=0.35,<1",
    ],
    # Its tasks on models of hclx; transformers writes chats.
    "lm_eval": ["lm-eval>=0.4.13,<0.5", "transformers>=4.50"],
    "evaluate": [
        "jinja2>=3.1,<4",
        "pydantic>=2.9,<3",
        "sacrebleu[ko]>=2.5,<3",  # BLEU and chrF, with Korean morphemes
    ],
    "bin": ["torch>=2.6"],  # weights that were pickled
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ruff>=0.14",
        "hypothesis>=6.100",
        "scikit-learn>=1.5",
        "jsonschema>=4.20,<5",
        "openai>=2,<4",  # clients of the server
        "langchain-community>=0.4.2,<0.5",
        "langchain-naver>=0.1.1,<0.2",
        "litellm>=1.100,<2",
        "schemathesis>=4.32,<5",
        "playwright>=1.55,<2",  # drives an installed Chromium through the pages
        "axe-playwright-python>=0.1.7,<0.2",  # carries axe-core, which judges accessibility
        "websockets>=15,<18",  # speaks to an installed Firefox
    ],
    # The peers that the benchmarks measure against.
    "bench": [
        "torch==2.13.0",
        "transformers>=4.50",
        "lm-eval[hf]>=0.4.13,<0.5",
        "peft>=0.21.2,<0.22",
    ],
    "plan": ["jax[tpu]>=0.10,<0.13"],  # XLA's compiler for TPUs, which needs none
    "tpu": ["jax[tpu]>=0.10,<0.13"],
    "cuda": ["jax[cuda12]>=0.10,<0.13"],
}
EXTRAS["dev"] = [
    package
    for name in (
        *("data", "corpus", "plot", "convert", "grammar", "remote", "evaluate", "serve", "test"),
    )
    for package in EXTRAS[name]
]


class BuildPackage(build_py):
    """Adds the folders of BESIDE to the package; an editable install finds them where they are."""

    def finalize_options(self):
        super().finalize_options()
        beside = [*BESIDE, *find_packages(include=[f"{name}.*" for name in BESIDE])]
        self.packages = [*self.packages, *(f"hclx.{name}" for name in beside)]
        self.package_dir = {**self.package_dir, **{f"hclx.{name}": name for name in BESIDE}}
        self.package_data = {
            **self.package_data,
            "hclx.gin_configs": ["*/*.gin"],
            "hclx.launch": ["README.md", "*.sh", "*/*"],
            "hclx.tasks": ["prompts/*/*.json", "suites/*.json"],
        }


setup(
    name="hclx",
    version=VERSION,
    description=(
        "An open, clean-room HyperCLOVA in JAX and Flax: Korean language models from raw text to a"
        " service."
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["hclx", "hclx.*"]),
    package_data={
        "hclx": [
            "augment/prompts/*.json",
            "augment/templates/*",
            "data/sample/*",
            "corpus/*.yaml",
            "corpus/lexicons/*",
            "corpus/templates/*",
            "evaluate/report/*.json",
            "evaluate/report/templates/*",
            "prompts/*.json",
            "serve/clova/prompts/*.json",
            "studio/gallery/*.json",
            "studio/pages/*",
            "studio/pages/*/*",
            "studio/pages/*/*/*",
        ]
    },
    cmdclass={"build_py": BuildPackage},
    entry_points={"console_scripts": ["hclx = hclx.cli:main"]},
    install_requires=[
        "absl-py>=2.1",
        "flax>=0.12.8,<0.13",
        "gin-config>=0.5,<0.6",
        "jax>=0.10,<0.13",
        "numpy>=2.0,<2.5",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12.8,<0.13",
        "protobuf>=6.31.1,<7",  # later ones do not go with TensorFlow
        "sentencepiece>=0.2.1,<0.2.3",
        "tensorboardX>=2.6.4",
        "tensorstore>=0.1.80",
        "tiktoken>=0.13,<0.15",  # earlier ones take the square of a text's length
        "tqdm>=4.66",
    ],
    extras_require=EXTRAS,
)
