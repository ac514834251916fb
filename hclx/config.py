"""The configuration of a run: frozen dataclasses of scalar fields, validated when they are made.

Gin sets these fields and nothing else (`--gin.ModelConfig.d_model=512`); every function takes what
it needs of them as an argument. The fields of `ModelConfig` decide what the parameters are. Those
of `ComputeConfig` and `MeshConfig` decide only how the model is computed and how its arrays are
sharded, and may change each time that a run is started. A value of another type or out of range
raises ConfigError, which names the field.
"""

import dataclasses
import functools
import logging

from hclx.field_checks import Validated, either, require
from hclx.model_config import ModelConfig

__all__ = [
    "ATTENTION_BACKENDS",
    "DTYPES",
    "INFERENCE_DTYPES",
    "MATMUL_PRECISIONS",
    "MESH_AXES",
    "MORPHEMES_OF",
    "REMAT_POLICIES",
    "ComputeConfig",
    "DataConfig",
    "Experiment",
    "MeshConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TokenizerConfig",
    "TrainConfig",
]

_LOG = logging.getLogger(__name__)

MESH_AXES = ("pipe", "data", "fsdp", "seq", "model")


@functools.cache
def _log_once(message: str) -> None:
    _LOG.warning(message)


DTYPES = ("bfloat16", "float32")
INFERENCE_DTYPES = ("float32", "bfloat16", "int8")
REMAT_POLICIES = ("none", "minimal", "full")
ATTENTION_BACKENDS = ("auto", "xla", "splash", "cudnn", "triton")
MATMUL_PRECISIONS = ("full", "int8", "fp8")


@dataclasses.dataclass(frozen=True)
class ComputeConfig(Validated):
    """The precision, kernels and memory with which the model is computed. Parameters, moments,
    statistics of norms, softmax, logits and the loss are always float32.
    """

    dtype: str = "bfloat16"  # of matrix products and activations
    # "full": the blocks' matrix products are computed in `dtype`; "int8" is for TPUs, "fp8" for
    # H100 and H200: see hclx/model/matmul.py
    matmul: str = "full"
    attention: str = "auto"  # the backend: see hclx/model/attention.py
    remat: str = "minimal"  # what the backward pass keeps of a block: see hclx/model/remat.py
    # tokens of a device for which logits exist at the same time; 0: all
    loss_chunk_tokens: int = 1_024
    # blocks in one step of the scan over layers: more compile time, less overhead
    scan_unroll: int = 1
    # If MeshConfig.pipe > 1 (see hclx/parallel/pipeline.py):
    pipeline_microbatches: int = 0  # microbatches of a batch; 0: as many as stages
    # times that a microbatch passes all stages: less idle time, but weights move in each step
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
            require(
                value in choices,
                f"ComputeConfig.{name}={value!r} is not one of {', '.join(choices)}",
            )
        self._positive("scan_unroll", "pipeline_repeats")
        self._not_negative("loss_chunk_tokens", "pipeline_microbatches")
        sizes = ("loss_chunk_tokens", "pipeline_microbatches", "pipeline_repeats", "scan_unroll")
        self._int32(*sizes)

    def microbatches(self, stages: int) -> int:
        """Microbatches that a pipeline of `stages` stages splits a batch into: the field
        `pipeline_microbatches`, or as many as stages if that is 0.
        """
        return self.pipeline_microbatches or stages


@dataclasses.dataclass(frozen=True)
class MeshConfig(Validated):
    """The number of devices along each axis of the mesh. -1, on one axis at most, takes the devices
    that remain.
    """

    pipe: int = 1
    data: int = 1
    fsdp: int = -1
    seq: int = 1
    model: int = 1

    def _check(self):
        for axis in MESH_AXES:
            size = getattr(self, axis)
            require(
                size == -1 or size > 0,
                f"MeshConfig.{axis}={size}; give a positive number, or -1 for the rest",
            )
        self._int32(*MESH_AXES)
        require(self.shape.count(-1) <= 1, "MeshConfig: only one axis may be -1")

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes in the order of `MESH_AXES`; one of them may be -1."""
        return tuple(getattr(self, axis) for axis in MESH_AXES)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Validated):
    """AdamW with clipping, and a learning rate with warm-up and cosine decay. The defaults are
    GPT-3's values if HyperCLOVA's were not published.
    """

    learning_rate: float = 6e-4
    # The learning rate, relative to the peak, at which the cosine ends: after the last step, whose
    # own rate is that of one step before.
    final_fraction: float = 0.1
    warmup_steps: int = 200  # from a rate of 0, which is that of the first step
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1  # of matrices only, not of biases and norms
    clip_norm: float = 1.0  # largest global norm of a gradient

    def _check(self):
        self._positive("learning_rate", "epsilon", "clip_norm")
        for name in ("beta1", "beta2"):
            require(  # from 1 - 2^-25 on, a number is 1 in float32
                0 <= getattr(self, name) < 1 - 2**-25,
                f"OptimizerConfig.{name} must lie in [0, 1) in float32, got {getattr(self, name)}",
            )
        require(
            0 <= self.final_fraction <= 1,
            f"OptimizerConfig.final_fraction={self.final_fraction} is not in [0, 1]",
        )
        self._not_negative("weight_decay", "warmup_steps")


@dataclasses.dataclass(frozen=True)
class DataConfig(Validated):
    """The source of the tokens: a registered seqio mixture, a built corpus, or one's own files, by
    exactly one of `mixture`, `corpus` and `input`.
    """

    mixture: str = ""  # a name that task_module registers with seqio
    task_module: str = "hclx.tasks.corpora"  # tasks/corpora.py
    corpus: str = ""  # or a folder that `hclx build_corpus` made, with its mixture
    input: str = ""  # or files or folders, GLOB[,GLOB...]: docs/corpus.md names the formats
    encoding: str = ""  # of the files of `input`, such as cp949; default: UTF-8
    tokenizer_dir: str = ""  # default: MODEL_DIR/tokenizer, trained when it is missing
    cache_dir: str = ""  # default: MODEL_DIR/cache, built when it is missing
    validation_permille: int = 10  # documents held out, by hash of their text
    max_documents: int = 0  # a source, for trials; 0: all
    invalid_utf8: str = "refuse"  # or "replace": with U+FFFD, counted in the manifest

    def _check(self):
        require(
            sum(map(bool, (self.mixture, self.corpus, self.input))) == 1,
            f"give one of DataConfig.mixture={self.mixture!r}, DataConfig.corpus={self.corpus!r}"
            f" and DataConfig.input={self.input!r}",
        )
        require(
            0 < self.validation_permille < 1000,
            "DataConfig.validation_permille must lie between 1 and 999, got"
            f" {self.validation_permille}",
        )
        self._not_negative("max_documents")
        require(
            self.invalid_utf8 in ("refuse", "replace"),
            f"DataConfig.invalid_utf8={self.invalid_utf8!r} is not refuse or replace",
        )


# The former name of a tokenizer's setting, which the files of tokenizers and token caches keep.
MORPHEMES_OF = {"train": "merges", "encode": "merges_and_text", "plain": "none"}


@dataclasses.dataclass(frozen=True)
class TokenizerConfig(Validated):
    """The training of the tokenizer, if none is given."""

    # Where morpheme boundaries apply: "merges" (no merge is learned across one),
    # "merges_and_text" (text is split at them when it is encoded, too) or "none".
    morphemes: str = "merges"
    sample_rate: float = 1.0  # share of the documents in which chunks are counted
    seed: int = 0  # of that sample
    mode: str = ""  # the old name of `morphemes`, with the keys of MORPHEMES_OF as values

    def _check(self):
        if self.mode:
            require(
                self.mode in MORPHEMES_OF,
                f"TokenizerConfig.mode={self.mode!r} is not {either(MORPHEMES_OF)}",
            )
            morphemes = MORPHEMES_OF[self.mode]
            require(
                self.morphemes in (type(self).morphemes, morphemes),
                f"TokenizerConfig.mode={self.mode!r} contradicts"
                f" TokenizerConfig.morphemes={self.morphemes!r}; give morphemes alone",
            )
            _log_once(
                f"TokenizerConfig.mode={self.mode!r} is the old name of"
                f" TokenizerConfig.morphemes={morphemes!r}"
            )
            object.__setattr__(self, "morphemes", morphemes)
            object.__setattr__(self, "mode", "")
        choices = MORPHEMES_OF.values()
        require(
            self.morphemes in choices,
            f"TokenizerConfig.morphemes={self.morphemes!r} is not {either(choices)}",
        )
        require(
            0 < self.sample_rate <= 1,
            f"TokenizerConfig.sample_rate={self.sample_rate} is not in (0, 1]",
        )


@dataclasses.dataclass(frozen=True)
class TrainConfig(Validated):
    """The length of a run, its batches, and how often it logs, evaluates and saves (in steps)."""

    total_steps: int = 71_526  # 150B tokens in batches of 1,024 x 2,048
    global_batch_size: int = 1_024  # sequences in a step
    accumulation_steps: int = 1  # microbatches of a step, whose gradients are accumulated
    sequence_length: int = 2_048  # tokens; one more is read as the last target
    # weight of the mean of log²Z in the function that is differentiated (PaLM: 1e-4); the loss that
    # is reported does not contain it
    z_loss: float = 0.0
    log_every: int = 10
    eval_every: int = 1_000  # 0: never
    eval_windows: int = 512  # validation sequences
    # a suite of few-shot tasks, by name or file, that is evaluated every so many steps (0: never)
    # on at most so many items of each task; see docs/evaluation.md
    suite: str = ""
    suite_every: int = 0
    suite_limit: int = 100
    checkpoint_every: int = 1_000
    keep_last: int = 3  # checkpoints
    keep_every: int = 0  # checkpoints of multiples of this step are never removed; 0: none
    keep_best: int = 0  # checkpoints with the lowest validation loss are kept, too; 0: none
    seed: int = 0  # of the initial parameters and of the order of the data
    # A step whose loss or gradient is not finite never changes the parameters; see
    # `judge` in hclx/train/state.py.
    max_skipped: int = 8  # skipped steps in a row that end the run
    # skips a step whose loss or gradient norm is this many standard deviations above the mean of
    # the last good steps; 0: no step
    spike_sigmas: float = 0.0
    spike_window: int = 128  # good steps that a spike is compared with
    # every so many steps, computes one step twice and compares the results, to detect silent
    # hardware faults; 0: never
    replay_every: int = 0

    def _check(self):
        sizes = ("total_steps", "global_batch_size", "sequence_length", "spike_window")
        self._positive(*sizes, "accumulation_steps", "log_every", "eval_windows")
        self._positive("checkpoint_every", "keep_last", "max_skipped")
        self._not_negative("seed", "eval_every", "keep_every", "keep_best", "replay_every")
        self._not_negative("spike_sigmas", "z_loss", "suite_every")
        self._positive("suite_limit")
        require(
            bool(self.suite) == bool(self.suite_every),
            f"TrainConfig.suite={self.suite!r} and TrainConfig.suite_every={self.suite_every} go"
            " together; give both, or neither",
        )
        self._int32(*sizes)
        require(
            self.global_batch_size % self.accumulation_steps == 0,
            f"TrainConfig.accumulation_steps={self.accumulation_steps} does not divide "
            f"TrainConfig.global_batch_size={self.global_batch_size}; choose a number that does",
        )
        if self.keep_best:
            self._check_that_saves_are_evaluated()

    def _check_that_saves_are_evaluated(self) -> None:
        """Refuses evaluations and saves that meet by chance, so that few checkpoints would have the
        validation loss that `keep_best` compares.
        """
        evaluated, saved = self.eval_every, self.checkpoint_every
        require(
            evaluated > 0 and (saved % evaluated == 0 or evaluated % saved == 0),
            f"TrainConfig.keep_best={self.keep_best} compares the validation losses of checkpoints,"
            f" and with TrainConfig.eval_every={evaluated} and"
            f" TrainConfig.checkpoint_every={saved} {'few' if evaluated else 'none'} would have"
            f" one; give eval_every={saved}, or another divisor or multiple of checkpoint_every",
        )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The whole configuration of a run. Relations between two sections are checked here."""

    model: ModelConfig
    compute: ComputeConfig
    mesh: MeshConfig
    optimizer: OptimizerConfig
    data: DataConfig
    tokenizer: TokenizerConfig
    train: TrainConfig

    def __post_init__(self):
        require(
            self.train.sequence_length <= self.model.max_length,
            f"TrainConfig.sequence_length={self.train.sequence_length} is longer than "
            f"ModelConfig.max_length={self.model.max_length}; give"
            f" --gin.ModelConfig.max_length={self.train.sequence_length}, or a shorter sequence",
        )
        require(
            self.optimizer.warmup_steps < self.train.total_steps,
            f"OptimizerConfig.warmup_steps={self.optimizer.warmup_steps} is not below "
            f"TrainConfig.total_steps={self.train.total_steps}; give"
            f" --gin.OptimizerConfig.warmup_steps={self.train.total_steps // 10}, or more steps",
        )
