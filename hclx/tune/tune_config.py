"""The settings of tuning: which method, and the size and the beginning of what it trains."""

import dataclasses

from hclx.config import INFERENCE_DTYPES
from hclx.field_checks import Validated, either, require
from hclx.tune.projections import parse_targets

KINDS = ("prompt_tune", "p_tune", "prefix_tune", "lora", "finetune")
ENCODERS = ("lstm", "mlp")
BALANCES = ("none", "weights", "sampling")
INITS = ("random", "vocabulary", "labels", "text")
OBJECTIVES = ("text", "choices", "contrast", "similarity", "pair")
SELECTIONS = (
    *("auto", "validation_loss", "validation_accuracy", "validation_choice_loss"),
    *("validation_r1", "validation_mrr", "validation_pearson", "validation_spearman"),
)
POOLINGS = ("mean", "weighted", "last")


@dataclasses.dataclass(frozen=True)
class TuneConfig(Validated):
    """A method and its settings. Those of other methods are not looked at."""

    kind: str = "prompt_tune"
    seed: int = 0  # of the initial values, and of dropout
    # of a base that is frozen: "float32", "bfloat16" for half of its memory, or "int8" (the
    # matrices of its blocks); what is trained is always float32
    base_dtype: str = "float32"
    # what is learnt: "text", the tokens of completions; "choices", by the cross-entropy over those
    # of a prompt document, each scored by the sum of the log-probabilities of its tokens; or
    # "contrast", "similarity" or "pair" of texts: see docs/embedding.md
    objective: str = "text"
    # classes of unequal size: "weights" of their examples, so that all classes weigh the same, or
    # "sampling": examples of the smaller ones are read more often
    balance: str = "none"
    # the figure by which the best step is chosen; "auto": the metric of the task, else the loss
    select_by: str = "auto"
    patience: int = 0  # evaluations without a better figure that end the run; 0: to its last step
    # Soft prompts, p-tuning and prefixes:
    length: int = 20  # soft slots, or positions of the prefix
    # Soft prompts and prefixes without reparameterisation: "random", "vocabulary" (tokens drawn
    # from the first `init_vocabulary`, which are the most frequent ones in most tokenizers),
    # "labels" (the words of the labels, of soft prompts alone) or "text".
    init: str = "vocabulary"
    init_vocabulary: int = 5_000
    init_text: str = ""  # the text, for `init` "text"
    # p-tuning:
    encoder: str = "lstm"  # or "mlp"
    # hidden size: of the LSTM in each direction, of the MLP, of the MLP of a prefix; 0: half of
    # d_model for the LSTM, and d_model for an MLP
    encoder_size: int = 0
    # Prefixes:
    reparameterise: bool = False  # keys and values are the output of an MLP (Li and Liang 2021)
    # LoRA:
    targets: str = "q,v"  # of PROJECTIONS, or names that PEFT gives to them
    rank: int = 8
    alpha: float = 16.0  # the change is multiplied by alpha / rank
    rs_lora: bool = False  # or by alpha / sqrt(rank) (Kalajdzievski 2023)
    dropout: float = 0.0  # share of the inputs that the change does not see
    # Vectors and pairs of texts:
    pooling: str = "mean"  # of the states of a text; or "weighted" by position, or its "last" one
    temperature: float = 0.05  # of "contrast"
    symmetric: bool = False  # "contrast": the query is told from others by its positive, too
    sizes: str = ""  # first entries of a vector that serve alone, as in "64,256" (Matryoshka)
    template: str = "{text_a}\n{text_b}"  # of "pair"
    labels: str = ""  # of "pair", as in "entailment,neutral"; "": rows have scores
    score_max: float = 1.0  # scores are from 0 to this

    def _check(self):
        choices_of = {"kind": KINDS, "encoder": ENCODERS, "init": INITS}
        choices_of |= {"objective": OBJECTIVES, "pooling": POOLINGS, "balance": BALANCES}
        choices_of |= {"base_dtype": INFERENCE_DTYPES, "select_by": SELECTIONS}
        for name, choices in choices_of.items():
            value = getattr(self, name)
            require(value in choices, f"TuneConfig.{name}={value!r} is not {either(choices)}")
        self._not_negative("seed", "encoder_size", "patience")
        sizes = ("length", "init_vocabulary", "rank")
        self._positive(*sizes, "alpha", "temperature", "score_max")
        self._int32(*sizes, "encoder_size", "seed", "patience")
        require(
            0 <= self.dropout < 1,
            f"TuneConfig.dropout={self.dropout} is not in [0, 1)",
        )
        require(
            self.kind != "finetune" or self.base_dtype == "float32",
            f"TuneConfig.base_dtype={self.base_dtype!r} is for a frozen base, and"
            " TuneConfig.kind='finetune' trains it; leave it out",
        )
        require(
            not (self.kind == "prefix_tune" and self.init == "labels"),
            "TuneConfig.init='labels' is for soft prompts; give 'random', 'vocabulary' or 'text'"
            " for a prefix",
        )
        has_network = self.kind == "p_tune" or (self.kind == "prefix_tune" and self.reparameterise)
        require(
            not (has_network and self.init in ("labels", "text")),
            f"TuneConfig.init={self.init!r} does not go with the network of"
            f" TuneConfig.kind={self.kind!r}, which begins at random; leave it out, or use a prompt"
            " or prefix without one",
        )
        if self.kind == "lora":
            parse_targets(self.targets)
        self._check_texts()

    def _check_texts(self):
        """Refuses settings of vectors and pairs that cannot be read."""
        require(
            self.writes_text or self.balance == "none",
            f"TuneConfig.balance={self.balance!r} is for the choices of prompt documents, and"
            f" TuneConfig.objective={self.objective!r} has none; leave it out",
        )
        for size in self.sizes.split(",") if self.sizes else ():
            require(
                size.strip().isdecimal() and int(size) > 0,
                f"TuneConfig.sizes={self.sizes!r}: {size!r} is no size; give numbers, as in"
                " '64,256'",
            )
        labels = self.label_names
        require(
            len(labels) != 1 and all(labels) and len(set(labels)) == len(labels),
            f"TuneConfig.labels={self.labels!r} are not two or more different labels; separate"
            " them by commas, or leave it out for scores",
        )

    @property
    def writes_text(self) -> bool:
        """Whether the tuned model is a language model; else it embeds texts or judges pairs."""
        return self.objective in ("text", "choices")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of pairs; () if rows have scores."""
        return tuple(map(str.strip, self.labels.split(","))) if self.labels else ()

    def vector_sizes(self, d_model: int) -> tuple[int, ...]:
        """The lengths at which vectors are compared, the whole one last.

        Raises:
          ConfigError: a size is greater than the vector.
        """
        sizes = sorted({int(size) for size in self.sizes.split(",")} if self.sizes else ())
        require(
            not sizes or sizes[-1] <= d_model,
            f"TuneConfig.sizes={self.sizes!r}: a vector of this base has {d_model} entries",
        )
        return tuple(size for size in sizes if size < d_model) + (d_model,)

    @property
    def scale(self) -> float:
        """The factor of a low-rank change: alpha / rank, or alpha / sqrt(rank) with `rs_lora`."""
        return self.alpha / (self.rank**0.5 if self.rs_lora else self.rank)
