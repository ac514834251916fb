"""Rematerialisation policies by name: what the backward pass keeps of a block's forward pass."""

from collections.abc import Callable

import jax

POLICIES = {
    # What matrix products make is kept; norms, softmax and GELU are computed again.
    "minimal": jax.checkpoint_policies.save_only_these_names(
        "qkv", "context", "attention_out", "mlp_in"
    ),
    # Only the input of each block is kept.
    "full": jax.checkpoint_policies.nothing_saveable,
}


def remat(function: Callable, policy: str) -> Callable:
    """Wraps the body of a scan over layers; "none" keeps everything that the backward pass
    wants.
    """
    if policy == "none":
        return function
    return jax.checkpoint(function, policy=POLICIES[policy], prevent_cse=False)
