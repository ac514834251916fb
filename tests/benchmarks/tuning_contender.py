"""A contender of the section peft of tests/benchmarks/tuning.py in its process: hclx or peft.

    python tests/benchmarks/tuning_contender.py NAME SPEC

SPEC is JSON: the `folder` of a GPT-2 of transformers, `threads`, and the fields of
`tuning_peft.Sizes`. Tasks come as JSON lines on stdin: `kind` of tuning, `rows` (full or mixed) and
the number of the `round`. Events go as JSON lines to stdout: `ready`, then a `result` for each
task: the seconds of its steps, the tokens of its examples, the share of the rows that they fill,
and the loss of the first step. All tasks of a process have one kind.
"""

import json
import os
import sys
import time

import numpy as np

RATE, RANK, ALPHA, MEDIAN = 1e-3, 8, 16.0, 64


def draw_examples(spec, vocab_size, rows, number):
    """Random tokens as examples, all of which are learnt: of one length, or of many."""
    draw = np.random.default_rng([number, rows == "mixed"])
    if rows == "full":
        lengths = [spec["length"]] * (spec["batch"] * spec["steps"])
    else:
        typical = min(MEDIAN, spec["length"] // 2)
        lengths = draw.lognormal(np.log(typical), 0.7, spec["examples"]).astype(int)
        lengths = np.clip(lengths, 8, spec["length"])
    return [draw.integers(2, vocab_size, n).astype(np.int32) for n in lengths]


class Hclx:
    """The train step of `hclx tune` over packed rows."""

    def __init__(self, spec, kind):
        """Reads the model, and begins as PEFT does."""
        import jax

        from hclx.config import (
            ComputeConfig,
            DataConfig,
            Experiment,
            MeshConfig,
            OptimizerConfig,
            TokenizerConfig,
            TrainConfig,
        )
        from hclx.convert.importing import look_at, read_params
        from hclx.parallel import make_mesh
        from hclx.train.step import make_program
        from hclx.tune import TuneConfig, begin_state
        from tests.benchmarks.tuning_programs import tuning

        source, slots = look_at(spec["folder"]), spec["slots"]
        self.vocab_size, self.spec = source.config.vocab_size, spec
        self.slots = np.arange(slots if kind == "prompt_tune" else 0) + self.vocab_size
        config = TuneConfig(
            kind=kind, length=slots, init="text", targets="qkv", rank=RANK, alpha=ALPHA
        )
        self.length = spec["length"] + len(self.slots)
        experiment = Experiment(
            source.config,
            ComputeConfig(dtype="float32"),
            MeshConfig(fsdp=1),
            OptimizerConfig(learning_rate=RATE, warmup_steps=0, weight_decay=0.0),
            DataConfig(input="none"),
            TokenizerConfig(),
            TrainConfig(global_batch_size=spec["batch"], sequence_length=self.length),
        )
        self.mesh = make_mesh(experiment.mesh, jax.devices()[:1])
        with jax.set_mesh(self.mesh):
            self.program = make_program(
                experiment, self.mesh, (), tuning(experiment, config, self.mesh)
            )
            self.state = begin_state(
                *(experiment.model, experiment.train, config, self.program.optimizer),
                read_params(source, self.mesh),
                self.program.abstract_state,
                [list(range(2, 2 + slots))],
            )

    def batches(self, examples):
        """Packs examples; rows of the last batch that nothing fills weigh 0."""
        import jax

        from hclx.tune.examples import make_example
        from hclx.tune.packing import pack

        size = self.spec["batch"]
        contexts = ([*self.slots, example[0]] for example in examples)
        made = [make_example(c, e[1:]) for c, e in zip(contexts, examples)]
        rows = pack(made, self.length).rows
        batches = []
        for begin in range(0, len(rows.tokens_bt), size):
            part = [field[begin : begin + size] for field in rows]
            lacking = size - len(part[0])
            part = [np.concatenate([f, np.zeros((lacking, *f.shape[1:]), f.dtype)]) for f in part]
            batches.append(type(rows)(*part))
        return [jax.device_put(batch, self.program.batch_sharding) for batch in batches]

    def step(self, batch):
        """Takes a step; returns its loss."""
        self.state, metrics = self.program.train_step(self.state, batch)
        return metrics["loss"]

    def run(self, batches):
        """Takes all steps, and waits for them; returns the losses."""
        import jax

        with jax.set_mesh(self.mesh):
            return [float(loss) for loss in [self.step(batch) for batch in batches]]

    def positions(self, batches):
        """Returns how many positions are computed."""
        return sum(batch.tokens_bt.size for batch in batches)


class Peft:
    """A step of PEFT's model over padded batches, with AdamW and clipping."""

    def __init__(self, spec, kind):
        """Reads the model, and begins as hclx does."""
        import peft
        import torch
        import transformers

        torch.set_num_threads(spec["threads"])
        torch.manual_seed(0)
        dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            spec["folder"], dtype=torch.float32, **dropout
        )
        self.vocab_size, self.spec, slots = model.config.vocab_size, spec, spec["slots"]
        self.slots = slots if kind == "prompt_tune" else 0
        if kind == "lora":
            settings = peft.LoraConfig(
                task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, fan_in_fan_out=True
            )
        else:
            settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=slots)
        vectors = model.get_input_embeddings().weight[2 : 2 + slots].detach().clone()
        self.model = peft.get_peft_model(model, settings).train()
        if kind == "prompt_tune":
            with torch.no_grad():
                self.model.prompt_encoder["default"].embedding.weight.copy_(vectors)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0
        )

    def batches(self, examples):
        """Pads each batch to its longest example, as transformers' collator does."""
        import torch

        batches, size = [], self.spec["batch"]
        for begin in range(0, len(examples), size):
            part = examples[begin : begin + size]
            longest = max(map(len, part))
            ids, mask = np.zeros((2, len(part), longest), np.int64)
            labels = np.full((len(part), longest), -100, np.int64)
            for row, example in enumerate(part):
                ids[row, : len(example)] = labels[row, : len(example)] = example
                mask[row, : len(example)] = 1
            labels[:, 0] = -100  # the last soft slot is not to predict the beginning of a text
            names = ("input_ids", "attention_mask", "labels")
            batches.append(dict(zip(names, map(torch.tensor, (ids, mask, labels)))))
        return batches

    def run(self, batches):
        """Takes all steps; returns the losses."""
        import torch

        losses = []
        for batch in batches:
            loss = self.model(**batch).loss
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    def positions(self, batches):
        """Returns how many positions are computed."""
        return sum(b["input_ids"].numel() + self.slots * len(b["input_ids"]) for b in batches)


def main(name, spec):
    """Serves tasks until stdin ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print
    print(json.dumps({"event": "ready"}), file=events, flush=True)
    contender = None
    for line in sys.stdin:
        task = json.loads(line)
        contender = contender or {"hclx": Hclx, "peft": Peft}[name](spec, task["kind"])
        examples = draw_examples(spec, contender.vocab_size, task["rows"], task["round"])
        batches = contender.batches(examples)
        begin = time.monotonic()
        losses = contender.run(batches)
        seconds = time.monotonic() - begin
        tokens = sum(map(len, examples))
        slots = len(examples) * (spec["slots"] if task["kind"] == "prompt_tune" else 0)
        result = {
            "seconds": seconds,
            "tokens": tokens,
            "filled": (tokens + slots) / contender.positions(batches),
            "first_loss": losses[0],
        }
        print(json.dumps({"event": "result", "result": result}), file=events, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
