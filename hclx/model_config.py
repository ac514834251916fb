"""The shape of a decoder: its sizes, and what distinguishes families of models."""

import dataclasses

from hclx.field_checks import Validated, either, require

NORMS = ("layernorm", "rmsnorm")
NORM_PLACEMENTS = ("pre", "post", "peri")
RESIDUALS = ("sequential", "parallel", "parallel_one_norm")
ACTIVATIONS = ("gelu_tanh", "gelu", "silu")
POSITIONS = ("learned", "rotary")
ROPE_SCALINGS = ("none", "linear", "dynamic", "yarn", "llama3")
LAYER_KINDS = "SF"  # sliding window, full attention


@dataclasses.dataclass(frozen=True)
class ModelConfig(Validated):
    """The shape of a decoder. Its defaults are in the style of GPT-3 (Kim et al. 2021, HyperCLOVA,
    section 3.2; Brown et al. 2020, section 2.1); gin_configs/families/ has shapes of other
    families.
    """

    vocab_size: int = 51_200
    n_layers: int = 12
    d_model: int = 768
    n_heads: int = 16
    max_length: int = 2_048  # positions that the model was made for
    layer_norm_epsilon: float = 1e-5  # of norms of either kind
    init_std: float = 0.02  # standard deviation of fresh matrices
    mlp_size: int = 0  # hidden size of the MLPs; 0: 4 * d_model
    # Optional stabilisers, which HyperCLOVA does not have; their parameters exist only if they are
    # enabled:
    qk_norm: bool = False  # a norm of each query and key head, over its size (ViT-22B)
    embedding_norm: bool = False  # a norm after the embedding (BLOOM)
    # Attention:
    kv_heads: int = 0  # heads of keys and values, each shared by a group of query heads; 0: n_heads
    head_size: int = 0  # 0: d_model / n_heads
    qkv_bias: bool = True
    attention_out_bias: bool = True
    attention_multiplier: float = 0.0  # of scores before the softmax; 0: 1 / sqrt(head_size)
    # Norms and residuals. A sub-layer f, attention or the MLP, is x + f(norm(x)) if the norm is
    # "pre", x + norm(f(x)) if it is "post", and has both if it is "peri".
    norm: str = "layernorm"  # or "rmsnorm", which has a scale alone
    norm_placement: str = "pre"
    # "sequential"; "parallel": x + attention(norm(x)) + mlp(norm(x)), with two norms
    # (GPT-NeoX); "parallel_one_norm": with one norm for both (GPT-J)
    residual: str = "sequential"
    residual_multiplier: float = 1.0  # of what a sub-layer adds
    # The MLP:
    activation: str = "gelu_tanh"  # or "gelu" (by the error function) or "silu"
    gated_mlp: bool = False  # activation(x gate) * (x wi): SwiGLU and GeGLU (Shazeer 2020)
    mlp_bias: bool = True
    # Embedding and output projection:
    embedding_multiplier: float = 1.0  # of the token embedding
    tied_head: bool = True  # the output projection is the token embedding
    head_bias: bool = False
    logits_multiplier: float = 1.0
    # Positions:
    position: str = "learned"  # or "rotary" (Su et al. 2021, RoFormer)
    rotary_theta: float = 10_000.0
    rotary_size: int = 0  # dimensions of a head that are rotated; 0: all
    rotary_interleaved: bool = False  # pairs are (2i, 2i + 1) as in GPT-J, not (i, i + size / 2)
    rope_scaling: str = "none"  # how frequencies are stretched: see hclx/model/rotary.py
    rope_factor: float = 1.0
    rope_original_length: int = 0  # positions before the stretching; 0: max_length
    rope_low_freq_factor: float = 1.0  # of llama3
    rope_high_freq_factor: float = 4.0  # of llama3
    rope_beta_fast: float = 32.0  # of yarn
    rope_beta_slow: float = 1.0  # of yarn
    rope_truncate: bool = True  # of yarn: its bounds are rounded to whole dimensions
    rope_attention_factor: float = 0.0  # of cos and sin under yarn; 0: 0.1 ln(factor) + 1
    # Kinds of layers:
    window: int = 0  # tokens that a query sees, itself included; 0: all before it
    # The kinds of the layers, repeated: "S" has the window, "F" has none, so "SSSF" makes every
    # fourth layer a full one; "": all have the window.
    layer_pattern: str = ""
    window_rotary_theta: float = 0.0  # unscaled, of the layers S (Gemma 3); 0: as in the others
    rotary_in_full_layers: bool = True  # False: layers F have no positions (EXAONE 4)

    def _check(self):
        sizes = ("vocab_size", "n_layers", "d_model", "n_heads", "max_length")
        optional = ("mlp_size", "kv_heads", "head_size", "rotary_size", "window")
        optional += ("rope_original_length",)
        self._positive(*sizes, "layer_norm_epsilon", "init_std", "rotary_theta", "rope_factor")
        self._positive("rope_low_freq_factor", "rope_high_freq_factor", "rope_beta_fast")
        self._positive("rope_beta_slow", "embedding_multiplier", "residual_multiplier")
        self._positive("logits_multiplier")
        self._not_negative(*optional, "attention_multiplier", "rope_attention_factor")
        self._not_negative("window_rotary_theta")
        self._int32(*sizes, *optional)
        choices_of = {
            "norm": NORMS,
            "norm_placement": NORM_PLACEMENTS,
            "residual": RESIDUALS,
            "activation": ACTIVATIONS,
            "position": POSITIONS,
            "rope_scaling": ROPE_SCALINGS,
        }
        for name, choices in choices_of.items():
            value = getattr(self, name)
            require(value in choices, f"ModelConfig.{name}={value!r} is not {either(choices)}")
        self._check_heads()
        self._check_positions()

    def _check_heads(self):
        require(
            self.head_size or self.d_model % self.n_heads == 0,
            f"ModelConfig.n_heads={self.n_heads} does not divide"
            f" ModelConfig.d_model={self.d_model}; choose a number of heads that does, or give"
            " ModelConfig.head_size",
        )
        require(
            self.n_heads % self.n_kv_heads == 0,
            f"ModelConfig.kv_heads={self.kv_heads} does not divide"
            f" ModelConfig.n_heads={self.n_heads}; choose a number that does",
        )
        require(
            self.residual == "sequential" or self.norm_placement == "pre",
            f"ModelConfig.residual={self.residual!r} takes ModelConfig.norm_placement='pre', got"
            f" {self.norm_placement!r}",
        )

    def _check_positions(self):
        require(
            self.d_rotary % 2 == 0 and self.d_rotary <= self.d_head,
            f"ModelConfig.rotary_size={self.d_rotary} is not an even number up to the size of a"
            f" head, {self.d_head}",
        )
        require(
            self.rope_high_freq_factor > self.rope_low_freq_factor,
            f"ModelConfig.rope_high_freq_factor={self.rope_high_freq_factor} is not above"
            f" ModelConfig.rope_low_freq_factor={self.rope_low_freq_factor}",
        )
        require(
            self.rope_scaling == "none" or self.position == "rotary",
            f"ModelConfig.rope_scaling={self.rope_scaling!r} needs ModelConfig.position='rotary'",
        )
        require(
            set(self.layer_pattern) <= set(LAYER_KINDS),
            f"ModelConfig.layer_pattern={self.layer_pattern!r} holds other letters than S (sliding"
            " window) and F (full attention)",
        )
        require(
            not ("S" in self.layer_pattern and self.window == 0),
            f"ModelConfig.layer_pattern={self.layer_pattern!r} needs ModelConfig.window",
        )

    @property
    def d_head(self) -> int:
        """The size of a head: `head_size`, or `d_model / n_heads`, which is whole, if that is 0."""
        return self.head_size or self.d_model // self.n_heads

    @property
    def n_kv_heads(self) -> int:
        """Heads of keys and values: `kv_heads`, or as many as of queries if that is 0."""
        return self.kv_heads or self.n_heads

    @property
    def d_mlp(self) -> int:
        """The hidden size of the MLPs: `mlp_size`, or 4 * `d_model` if that is 0."""
        return self.mlp_size or 4 * self.d_model

    @property
    def d_rotary(self) -> int:
        """Dimensions of a head that are rotated: `rotary_size`, or all if that is 0; 0 if positions
        are learned.
        """
        return (self.rotary_size or self.d_head) if self.position == "rotary" else 0

    @property
    def windows(self) -> tuple[int, ...]:
        """The window of each layer; 0: none."""
        pattern = self.layer_pattern or ("S" if self.window else "F")
        return tuple(
            self.window if pattern[layer % len(pattern)] == "S" else 0
            for layer in range(self.n_layers)
        )
