"""A model of transformers and the same model here: what an engine is compared with."""

import dataclasses

import numpy as np

from hclx.config import ModelConfig
from tests.helpers.families import save_model
from tests.helpers.family_logits import load

LENGTH = 512  # tokens that each model reads: more than one chunk of a prompt
PAD, END = 0, 1  # as in hclx.infer.random_model


@dataclasses.dataclass(frozen=True)
class Oracle:
    """One model twice.

    Attributes:
      model: of transformers, in float32.
      params: those of hclx, stacked, on one device.
      config: the shape.
    """

    model: object
    params: object
    config: ModelConfig

    def logprobs(self, ids) -> np.ndarray:
        """The log-probabilities [t, v] of what follows each token, by one forward pass."""
        import torch

        with torch.no_grad():
            logits = self.model(torch.tensor([list(ids)])).logits[0]
        return torch.log_softmax(logits.double(), -1).numpy()

    def greedy(self, ids, n: int, **settings) -> list[int]:
        """The n likeliest tokens in turn, by `generate`, up to the end of the document; `settings`
        are its.
        """
        import torch

        prompt = torch.tensor([list(ids)])
        tokens = self.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=n,
            do_sample=False,
            suppress_tokens=[PAD],
            eos_token_id=END,
            pad_token_id=PAD,
            **settings,
        )[0, len(ids) :].tolist()
        return tokens[: tokens.index(END)] if END in tokens else tokens

    def mean_hidden(self, ids) -> np.ndarray:
        """The mean of the hidden states after the final norm, [d]."""
        import torch

        with torch.no_grad():
            states = self.model.base_model(torch.tensor([list(ids)])).last_hidden_state
        # Where a model scales its logits, the final norm does that here.
        return states[0].mean(0).numpy() * getattr(self.model.config, "logits_scaling", 1.0)


def make_oracle(name: str, folder) -> Oracle:
    """Makes a model of a family of `tests.helpers.families` that reads `LENGTH` tokens, and
    converts it.
    """
    field = "n_positions" if name.startswith("gpt2") else "max_position_embeddings"
    model = save_model(name, folder, **{field: LENGTH})
    source, params = load(folder)
    return Oracle(model, params, source.config)
