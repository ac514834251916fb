"""Weight matrices with low-rank changes beside them, which are never added to them (Hu et al. 2021,
LoRA, section 4.1).
"""

import dataclasses

import jax
import jax.numpy as jnp


class ChangedWeight:
    """A matrix W, `base`, and a `change` of its products, which takes what is multiplied."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of W."""
        return self.base.shape

    def __getitem__(self, index) -> "ChangedWeight":
        # A module reads the whole of each parameter by `...`.
        if index is not Ellipsis:
            name = type(self).__name__
            raise TypeError(f"a {name} is read as a whole, by [...], not by [{index}]")
        return self

    def reshape(self, *shape: int) -> "ChangedWeight":
        """Returns the matrix with its summed axes, whose number A does not know, as others."""
        return dataclasses.replace(self, base=self.base.reshape(*shape))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LowRankWeight(ChangedWeight):
    """A matrix W whose products are x W + scale · (x A) B.

    Stacked over layers, all arrays have a first axis more, which a scan slices.

    Attributes:
      base: W, with axes to sum over and then those of the outputs: an array, or an
        `hclx.model.matmul.Int8Weight`.
      a: A, [summed axes as one, rank].
      b: B, [rank, output axes].
      key: uint32, the data of a random key, for the dropout of x before A; None: no dropout.
      scale: the factor of the change.
      dropout: the share of the elements of x that A does not see; the others are divided by
        1 - dropout.
    """

    base: object
    a: jax.Array
    b: jax.Array
    key: jax.Array | None = None
    scale: float = dataclasses.field(default=1.0, metadata={"static": True})
    dropout: float = dataclasses.field(default=0.0, metadata={"static": True})

    def change(self, x: jax.Array) -> jax.Array:
        """Returns scale · (x A) B, in the dtype of `x`, for activations [..., d]."""
        if self.key is not None and self.dropout:
            key = jax.random.wrap_key_data(self.key)
            kept = jax.random.bernoulli(key, 1 - self.dropout, x.shape)
            x = jnp.where(kept, x / (1 - self.dropout), 0).astype(x.dtype)
        low_rank = jnp.tensordot(x, self.a.astype(x.dtype), axes=1)
        return jnp.tensordot(low_rank, self.b.astype(x.dtype), axes=1) * self.scale


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GatheredLowRankWeight(ChangedWeight):
    """A matrix W with several changes, of which each row of a batch has one: x W + (x A) B.

    Attributes:
      base: as in `LowRankWeight`.
      a: the matrices A, [n, summed axes as one, rank].
      b: the matrices B, with their factors in them, [n, rank, output axes].
      numbers_b: int32, which of them each row has.
    """

    base: object
    a: jax.Array
    b: jax.Array
    numbers_b: jax.Array

    def change(self, x: jax.Array) -> jax.Array:
        """Returns (x A) B of each row, in the dtype of `x`, for activations [b, t, d] or, flattened
        by rows, [b t, d].
        """
        x_btd = x.reshape(len(self.numbers_b), -1, x.shape[-1])
        a_bdr, b = (array[self.numbers_b].astype(x.dtype) for array in (self.a, self.b))
        change = jnp.einsum("btr,br...->bt...", jnp.einsum("btd,bdr->btr", x_btd, a_bdr), b)
        return change.reshape(*x.shape[:-1], *b.shape[2:])
