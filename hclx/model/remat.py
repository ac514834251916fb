"""Rematerialisation policies: which arrays of a block's forward pass the backward pass keeps."""

from collections.abc import Callable

import jax

# The names that modules give to the arrays that a policy may keep, by `checkpoint_name`. They are
# constants because a misspelt name would not fail, but silently compute the array again.
QKV = "qkv"  # queries, keys and values
CONTEXT = "context"  # of attention, and whatever else the backward pass of a kernel needs
ATTENTION_OUT = "attention_out"  # the output projection of attention
MLP_IN = "mlp_in"  # the hidden layer of the MLP before its activation function

POLICIES = {
    # Keeps the results of matrix products; norms, softmax and GELU are computed again.
    "minimal": jax.checkpoint_policies.save_only_these_names(QKV, CONTEXT, ATTENTION_OUT, MLP_IN),
    # Keeps only the input of each block.
    "full": jax.checkpoint_policies.nothing_saveable,
}


def remat(function: Callable, policy: str) -> Callable:
    """Wraps the body of a scan over layers in `jax.checkpoint` with a named policy.

    "minimal" keeps the results of matrix products, and "full" only the input of each block.

    Args:
      function: the body, (carry, layer) -> (carry, output).
      policy: a name of `hclx.config.REMAT_POLICIES`; "none" returns `function` as it is, so that
        everything that the backward pass needs is kept.
    Returns:
      A function of the same arguments and results.
    """
    if policy == "none":
        return function
    return jax.checkpoint(function, policy=POLICIES[policy], prevent_cse=False)
