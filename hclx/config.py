"""What a run is: frozen dataclasses of scalar fields, validated when they are made, and the table
of sizes.

Gin sets these fields and nothing else (`--gin.ModelConfig.d_model=512`); every function takes what
it needs of them as an argument. Fields of `ModelConfig` decide what the parameters are;
`ComputeConfig` and `MeshConfig` only decide how they are computed and where they lie, and may
change between one start of a run and the next.
"""

import dataclasses
from typing import get_type_hints

from hclx.errors import ConfigError

MESH_AXES = ("pipe", "data", "fsdp", "seq", "model")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


class _Validated:
    """Checks each field's type, so that `total_steps='ten'` fails where it was written and not in a
    jit.
    """

    def __post_init__(self):
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, name, float(value))
                continue
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise ConfigError(
                    f"{type(self).__name__}.{name} must be {kind.__name__}, got {value!r}"
                    f" ({type(value).__name__})"
                )
        self._check()

    def _check(self) -> None:
        """Relations between fields; each class says its own."""

    def _positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            _require(value > 0, f"{type(self).__name__}.{name} must be positive, got {value}")


@dataclasses.dataclass(frozen=True)
class ModelConfig(_Validated):
    """The shape of a GPT-3 style decoder (Kim et al. 2021, HyperCLOVA, section 3.2; Brown et al.
    2020, section 2.1).
    """

    vocab_size: int = 51_200
    n_layers: int = 12
    d_model: int = 768
    n_heads: int = 16
    max_length: int = 2_048  # learned positions
    layer_norm_epsilon: float = 1e-5
    init_std: float = 0.02
    mlp_size: int = 0  # the hidden size of the MLP; 0: 4 * d_model
    # For stability at scale; HyperCLOVA has neither, and what belongs to them exists only where
    # they are on:
    qk_norm: bool = False  # a layer norm of each query and key head, over its size (ViT-22B)
    embedding_norm: bool = False  # a layer norm after the embedding (BLOOM)

    def _check(self):
        self._positive(
            "vocab_size",
            "n_layers",
            "d_model",
            "n_heads",
            "max_length",
            "layer_norm_epsilon",
            "init_std",
        )
        _require(self.mlp_size >= 0, f"ModelConfig.mlp_size={self.mlp_size} is negative")
        _require(
            self.d_model % self.n_heads == 0,
            f"ModelConfig.n_heads={self.n_heads} does not divide"
            f" ModelConfig.d_model={self.d_model}; choose a number of heads that does",
        )

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def n_kv_heads(self) -> int:
        """Heads of keys and values: as many as of queries, as no query heads share one yet."""
        return self.n_heads

    @property
    def d_mlp(self) -> int:
        return self.mlp_size or 4 * self.d_model


# Published shapes (HyperCLOVA, table 1), but for 204B: its shape was never published, and the one
# here is this project's own choice, 112 layers and GPT-3's width. The vocabulary is this project's
# default everywhere.
SIZES = {
    "137m": ModelConfig(n_layers=12, d_model=768, n_heads=16),
    "350m": ModelConfig(n_layers=24, d_model=1_024, n_heads=16),
    "760m": ModelConfig(n_layers=24, d_model=1_536, n_heads=16),
    "1b3": ModelConfig(n_layers=24, d_model=2_048, n_heads=16),
    "6b9": ModelConfig(n_layers=32, d_model=4_096, n_heads=32),
    "13b": ModelConfig(n_layers=40, d_model=5_120, n_heads=40),
    "39b": ModelConfig(n_layers=48, d_model=8_192, n_heads=64),
    "82b": ModelConfig(n_layers=64, d_model=10_240, n_heads=80),
    "204b": ModelConfig(n_layers=112, d_model=12_288, n_heads=96),
}

DTYPES = ("bfloat16", "float32")
REMAT_POLICIES = ("none", "minimal", "full")
ATTENTION_BACKENDS = ("auto", "xla", "splash", "cudnn", "triton")  # see hclx/model/attention.py
MATMUL_PRECISIONS = ("full", "int8", "fp8")


@dataclasses.dataclass(frozen=True)
class ComputeConfig(_Validated):
    """How the model is computed. Parameters, moments, norms, softmax, logits and the loss are
    always float32.
    """

    dtype: str = "bfloat16"  # of matrix products and activations
    # or the products of the blocks in int8 (TPUs) or fp8 (H100, H200): see hclx/model/matmul.py
    matmul: str = "full"
    attention: str = "auto"
    remat: str = "minimal"  # what the backward pass keeps of a block: see hclx/model/remat.py
    # logits exist for this many tokens of a device at a time; 0: for all
    loss_chunk_tokens: int = 1_024
    # blocks a step of the scan over layers; more compile time for less overhead
    scan_unroll: int = 1
    # Where MeshConfig.pipe > 1 (see hclx/parallel/pipeline.py):
    # pieces of a batch that follow each other through the stages; 0: as many as stages
    pipeline_microbatches: int = 0
    # times that each goes around the stages: less idle time, but weights move once a pass
    pipeline_repeats: int = 1

    def _check(self):
        choices_of = {
            "dtype": DTYPES,
            "matmul": MATMUL_PRECISIONS,
            "remat": REMAT_POLICIES,
            "attention": ATTENTION_BACKENDS,
        }
        for name, choices in choices_of.items():
            value = getattr(self, name)
            _require(
                value in choices,
                f"ComputeConfig.{name}={value!r} is not one of {', '.join(choices)}",
            )
        self._positive("scan_unroll", "pipeline_repeats")
        for name in ("loss_chunk_tokens", "pipeline_microbatches"):
            _require(
                getattr(self, name) >= 0, f"ComputeConfig.{name}={getattr(self, name)} is negative"
            )

    def microbatches(self, stages: int) -> int:
        """`pipeline_microbatches` with its 0 resolved."""
        return self.pipeline_microbatches or stages


@dataclasses.dataclass(frozen=True)
class MeshConfig(_Validated):
    """The device mesh: how many ways each axis cuts. -1, on one axis at most, takes the devices
    that are left.
    """

    pipe: int = 1
    data: int = 1
    fsdp: int = -1
    seq: int = 1
    model: int = 1

    def _check(self):
        for axis in MESH_AXES:
            size = getattr(self, axis)
            _require(
                size == -1 or size > 0,
                f"MeshConfig.{axis}={size}; give a positive number, or -1 for the rest",
            )
        _require(self.shape.count(-1) <= 1, "MeshConfig: only one axis may be -1")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(getattr(self, axis) for axis in MESH_AXES)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(_Validated):
    """AdamW with clipping, warm-up and a cosine (GPT-3's values where HyperCLOVA's were not
    published).
    """

    learning_rate: float = 6e-4
    final_fraction: float = 0.1  # of the peak, at the last step
    warmup_steps: int = 200
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1  # on matrices only: no bias, no layer norm
    clip_norm: float = 1.0

    def _check(self):
        self._positive("learning_rate", "epsilon", "clip_norm")
        for name in ("beta1", "beta2"):
            _require(
                0 <= getattr(self, name) < 1,
                f"OptimizerConfig.{name} must lie in [0, 1), got {getattr(self, name)}",
            )
        _require(
            0 <= self.final_fraction <= 1,
            f"OptimizerConfig.final_fraction={self.final_fraction} is not in [0, 1]",
        )
        _require(
            self.weight_decay >= 0, f"OptimizerConfig.weight_decay={self.weight_decay} is negative"
        )
        _require(
            self.warmup_steps >= 0, f"OptimizerConfig.warmup_steps={self.warmup_steps} is negative"
        )


@dataclasses.dataclass(frozen=True)
class DataConfig(_Validated):
    """Where the tokens come from: a registered seqio mixture, or one's own files."""

    mixture: str = ""  # a name that task_module registers with seqio
    task_module: str = "hclx.tasks.corpora"  # tasks/corpora.py
    corpus: str = ""  # or a folder that launch/build_corpus.py made, with its mixture
    input: str = ""  # or GLOB[,GLOB...] of .jsonl[.gz] with `text`, or .txt
    tokenizer_dir: str = ""  # default: MODEL_DIR/tokenizer, trained when it is missing
    cache_dir: str = ""  # default: MODEL_DIR/cache, built when it is missing
    validation_permille: int = 10  # documents held out, by hash of their text
    max_documents: int = 0  # a source, for trials; 0: all
    invalid_utf8: str = "refuse"  # or "replace": with U+FFFD, counted in the manifest

    def _check(self):
        _require(
            sum(map(bool, (self.mixture, self.corpus, self.input))) == 1,
            f"give one of DataConfig.mixture={self.mixture!r}, DataConfig.corpus={self.corpus!r}"
            f" and DataConfig.input={self.input!r}",
        )
        _require(
            0 < self.validation_permille < 1000,
            "DataConfig.validation_permille must lie between 1 and 999",
        )
        _require(
            self.max_documents >= 0, f"DataConfig.max_documents={self.max_documents} is negative"
        )
        _require(
            self.invalid_utf8 in ("refuse", "replace"),
            f"DataConfig.invalid_utf8={self.invalid_utf8!r} is not refuse or replace",
        )


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(_Validated):
    """How the tokenizer is trained where none is given."""

    mode: str = "train"
    sample_rate: float = 1.0  # share of the documents that its chunk counts see
    seed: int = 0

    def _check(self):
        _require(
            self.mode in ("train", "encode", "plain"),
            f"TokenizerConfig.mode={self.mode!r} is not train, encode or plain",
        )
        _require(
            0 < self.sample_rate <= 1,
            f"TokenizerConfig.sample_rate={self.sample_rate} is not in (0, 1]",
        )


@dataclasses.dataclass(frozen=True)
class TrainConfig(_Validated):
    """The length of a run and its habits."""

    total_steps: int = 71_526  # 150B tokens in batches of 1,024 x 2,048
    global_batch_size: int = 1_024  # windows a step
    accumulation_steps: int = 1  # pieces that a batch is cut into, one after the other
    sequence_length: int = 2_048  # tokens a window; windows hold one more, for the last target
    # weight of the mean of log²Z in what is differentiated (PaLM: 1e-4); the loss that is reported
    # has none
    z_loss: float = 0.0
    log_every: int = 10
    eval_every: int = 1_000  # 0: never
    eval_windows: int = 512
    checkpoint_every: int = 1_000
    keep_last: int = 3
    keep_every: int = 0  # steps of which a checkpoint is kept for good; 0: none
    seed: int = 0
    # A step whose loss or gradient is not finite never changes the parameters; see
    # hclx/train/step_skipping.py.
    max_skipped: int = 8  # such steps in a row that end the run
    # also leaves out steps so many standard deviations above the last good ones; 0: none
    spike_sigmas: float = 0.0
    spike_window: int = 128  # good steps that a spike is measured against
    # runs every so many steps one of them twice and compares, against silent hardware faults; 0:
    # never
    replay_every: int = 0

    def _check(self):
        self._positive(
            "total_steps", "global_batch_size", "accumulation_steps", "sequence_length", "log_every"
        )
        self._positive(
            "eval_windows", "checkpoint_every", "keep_last", "max_skipped", "spike_window"
        )
        for name in ("spike_sigmas", "replay_every"):
            _require(
                getattr(self, name) >= 0, f"TrainConfig.{name}={getattr(self, name)} is negative"
            )
        _require(
            self.global_batch_size % self.accumulation_steps == 0,
            f"TrainConfig.accumulation_steps={self.accumulation_steps} does not divide "
            f"TrainConfig.global_batch_size={self.global_batch_size}",
        )
        _require(self.z_loss >= 0, f"TrainConfig.z_loss={self.z_loss} is negative")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A whole run. Relations that span two configurations are checked here."""

    model: ModelConfig
    compute: ComputeConfig
    mesh: MeshConfig
    optimizer: OptimizerConfig
    data: DataConfig
    tokenizer: TokenizerConfig
    train: TrainConfig

    def __post_init__(self):
        _require(
            self.train.sequence_length <= self.model.max_length,
            f"TrainConfig.sequence_length={self.train.sequence_length} is longer than "
            f"ModelConfig.max_length={self.model.max_length}",
        )
        _require(
            self.optimizer.warmup_steps < self.train.total_steps,
            f"OptimizerConfig.warmup_steps={self.optimizer.warmup_steps} is not below "
            f"TrainConfig.total_steps={self.train.total_steps}",
        )
