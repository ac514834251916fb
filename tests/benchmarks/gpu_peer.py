"""A GPT-2 of the project's shape in plain PyTorch, trained as its users would: the peer of
tests/benchmarks/gpu.py.
"""

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-LN attention and MLP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wi, self.wo = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[b, t, d] -> [b, t, d]."""
        batch, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(
            batch, length, 3, self.heads, width // self.heads
        )
        context = functional.scaled_dot_product_attention(
            *qkv.permute(2, 0, 3, 1, 4), is_causal=True
        )
        x = x + self.out(context.transpose(1, 2).reshape(batch, length, width))
        return x + self.wo(functional.gelu(self.wi(self.mlp_norm(x)), approximate="tanh"))


class Gpt2(nn.Module):
    """The decoder, with its loss."""

    def __init__(self, shape: dict):
        super().__init__()
        self.token = nn.Embedding(shape["vocab_size"], shape["d_model"])
        self.position = nn.Embedding(shape["max_length"], shape["d_model"])
        self.blocks = nn.ModuleList(
            Block(shape["d_model"], shape["n_heads"]) for _ in range(shape["n_layers"])
        )
        self.final_norm = nn.LayerNorm(shape["d_model"])
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """int64 [b, t + 1] -> the mean loss of a token."""
        tokens = sequences[:, :-1]
        x = self.token(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.loss(x, sequences[:, 1:])

    def loss(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Final norm, tied output projection, cross-entropy in float32."""
        logits = functional.linear(self.final_norm(x), self.token.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def make_step(shape: dict, batches: torch.Tensor, backend: str):
    """Builds a model with its optimizer, and the function that trains it.

    Blocks and loss are compiled apart: that costs the compilation of one block and not of as many
    as there are layers, and a second model of the same width compiles nothing.

    Args:
      shape: fields of `hclx.config.ModelConfig`.
      batches: int64 [n, b, t + 1], on the device to train on.
      backend: of torch.compile; "inductor" makes kernels, "aot_eager" only traces.

    Returns:
      (i) -> the loss of a training step on the i-th batch, a scalar on the device.
    """
    device = batches.device.type
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    with torch.device(device):
        model = Gpt2(shape)
    for block in model.blocks:
        block.compile(backend=backend)
    model.loss = torch.compile(model.loss, backend=backend)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )

    def step(i: int) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = model(batches[i % len(batches)])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step
