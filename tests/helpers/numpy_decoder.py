"""The decoder again, in numpy and float64, one document at a time: what the model's tests compare
with.
"""

import math

import numpy as np


def layer_norm(x, scale, bias, epsilon):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def forward(params, tokens, config):
    """float64 logits [t, v] of one document, whose first token is at position 0."""
    import jax

    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    t, h, k = len(tokens), config.n_heads, config.d_head
    norm = lambda x, n: layer_norm(x, n["scale"], n["bias"], config.layer_norm_epsilon)
    x = p["embedding"]["token"][tokens] + p["embedding"]["position"][:t]
    if config.embedding_norm:
        x = norm(x, p["embedding"]["norm"])
    for i in range(config.n_layers):
        b = jax.tree.map(lambda a: a[i], p["blocks"])
        y = norm(x, b["attention_norm"])
        context = np.zeros((t, h, k))
        for head in range(h):
            a = b["attention"]
            q = y @ a["q"][:, head] + a["q_bias"][head]
            key, value = (y @ a["kv"][:, c, head] + a["kv_bias"][c, head] for c in range(2))
            if config.qk_norm:
                q, key = (
                    norm(q, b["attention"]["query_norm"]),
                    norm(key, b["attention"]["key_norm"]),
                )
            scores = q @ key.T / math.sqrt(k)
            scores[np.triu_indices(t, 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            context[:, head] = weights / weights.sum(-1, keepdims=True) @ value
        x = (
            x
            + np.einsum("thk,hkd->td", context, b["attention"]["out"])
            + b["attention"]["out_bias"]
        )
        y = norm(x, b["mlp_norm"])
        x = (
            x
            + gelu(y @ b["mlp"]["wi"] + b["mlp"]["wi_bias"]) @ b["mlp"]["wo"]
            + b["mlp"]["wo_bias"]
        )
    x = norm(x, p["final_norm"])
    return x @ p["embedding"]["token"].T


def logprobs_function(params, config):
    """Returns a function from token ids to the log-probabilities [t, v] of what follows each."""

    def logprobs(ids):
        logits = forward(params, np.array(ids), config).astype(np.float64)
        top = logits.max(-1, keepdims=True)
        return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))

    return logprobs


def noisy_params(config, seed=0, gain=4):
    """Parameters of which no bias is zero and no scale one, and which are large enough for every
    part to matter.
    """
    import jax

    from hclx.model import init_params

    draw = np.random.default_rng(seed)
    params = jax.jit(init_params, static_argnums=0)(config, jax.random.key(seed))
    add_noise = lambda x: x * gain + draw.normal(0, 0.1, x.shape).astype(np.float32)
    # In numpy: it compiles no program for each shape.
    return jax.device_put(jax.tree.map(add_noise, jax.device_get(params)))
