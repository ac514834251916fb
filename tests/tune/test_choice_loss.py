"""The loss of choosing among answers: against PyTorch, answer by answer; on all meshes; packed."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.parallel import make_mesh, named_sharding
from hclx.train.state import merge
from hclx.train.step import accumulate_gradients
from hclx.tune import TuneConfig, begin, make_tuning_loss
from hclx.tune.examples import make_example
from hclx.tune.packing import pack_choices, size
from tests.helpers.decoder import drawn_params
from tests.helpers.meshes import COMPUTE, MESHES, ONE, PIPELINES, devices_of
from tests.helpers.tuning import LENGTH, load_base, loss_and_gradients, start, torch_model

VOCAB, WEIGHTS = 128, (1.0, 2.5, 0.5)
ROW = 64


def questions_of(n, seed=0, slots=()):
    """Questions with two to four answers of one to four tokens, and their right answers."""
    draw = np.random.default_rng(seed)
    questions, labels = [], []
    for number in range(n):
        context = [*slots, *draw.integers(2, VOCAB, draw.integers(1, 7))]
        options = {}
        for key in "abcd"[: draw.integers(2, 5)]:
            answer = draw.integers(2, VOCAB, draw.integers(1, 5))
            example = make_example(context, answer, key)
            weights = np.float32(WEIGHTS[number % 3]) * example.weights
            options[key] = example._replace(weights=weights)
        questions.append(options)
        labels.append(str(draw.choice(list(options))))
    return questions, labels


def test_the_answers_to_a_question_lie_in_one_row_side_by_side():
    questions, labels = questions_of(30)
    rows = pack_choices(questions, labels, ROW, pad_id=1)
    seen = []
    for n in range(len(rows.tokens_bt)):
        for answer in np.unique(rows.answers_bt[n]):
            (index,) = np.nonzero(rows.answers_bt[n] == answer)
            assert index.tolist() == list(range(index[0], index[-1] + 1))
            options = {}
            for segment in np.unique(rows.segments_bt[n][index]):
                (own,) = np.nonzero(rows.segments_bt[n] == segment)
                assert rows.positions_bt[n][own].tolist() == list(range(len(own)))
                tokens = (*rows.tokens_bt[n][own].tolist(), int(rows.targets_bt[n][own[-1]]))
                options[tokens] = (segment == answer, *rows.weights_bt[n][own].tolist())
            if rows.weights_bt[n][index].any():
                seen.append(options)
    expected = [
        {
            tuple(e.tokens.tolist()): (key == label, *e.weights[1:].tolist())
            for key, e in options.items()
        }
        for options, label in zip(questions, labels)
    ]
    order = lambda options: sorted(options)
    assert sorted(seen, key=order) == sorted(expected, key=order)
    total = sum(size(e) for options in questions for e in options.values())
    assert len(rows.tokens_bt) <= 1.3 * total / ROW + 1


def torch_choice_loss(model, questions, labels, embed):
    """Each answer in a row of its own."""
    import torch

    losses, weights = [], []
    for options, label in zip(questions, labels):
        scores = []
        for example in options.values():
            tokens = torch.tensor(example.tokens).long()
            logits = model(inputs_embeds=embed(tokens)[None]).logits[0]
            log_p = torch.log_softmax(logits[:-1], -1)
            of_targets = log_p.gather(1, tokens[1:, None].clamp(max=VOCAB - 1))[:, 0]
            scores.append(of_targets[torch.tensor(example.weights[1:] > 0)].sum())
        right = torch.tensor([list(options).index(label)])
        losses.append(torch.nn.functional.cross_entropy(torch.stack(scores)[None], right))
        weights.append(float(max(e.weights.max() for e in options.values())))
    weights = torch.tensor(weights)
    return (torch.stack(losses) * weights).sum() / weights.sum()


@pytest.mark.parametrize(
    "name, kind",
    [pytest.param("gpt2", "finetune", marks=pytest.mark.long), ("llama", "prompt_tune")],
)
def test_loss_and_gradients_are_those_of_pytorch(name, kind):
    """Of the soft prompt, and of the token vectors, which gpt2 ties to its output projection."""
    torch = pytest.importorskip("torch")
    base, model = load_base(name), torch_model(load_base(name))
    config = TuneConfig(kind=kind, length=LENGTH, init="random", objective="choices")
    trainable = start(base, config)
    embedding = model.get_input_embeddings().weight
    slots = ()
    if kind == "prompt_tune":
        slots = VOCAB + np.arange(LENGTH)
        table = torch.tensor(trainable["tune"]["table"], requires_grad=True)
        embed = lambda tokens: torch.cat([embedding, table])[tokens]
    else:
        embed = lambda tokens: embedding[tokens]
    questions, labels = questions_of(8, slots=slots)
    batch = pack_choices(questions, labels, ROW)
    loss, grads = loss_and_gradients(base, config, trainable, batch)
    expected = torch_choice_loss(model, questions, labels, embed)
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5) and loss > 0.1
    if kind == "prompt_tune":
        own, theirs = grads["tune"]["table"], table.grad
    else:
        own, theirs = grads["embedding"]["token"], embedding.grad
    assert np.abs(own).max() > 1e-2
    np.testing.assert_allclose(own, theirs.numpy(), rtol=0, atol=1e-5)


MODEL = ModelConfig(
    vocab_size=VOCAB, n_layers=2, d_model=32, n_heads=8, max_length=ROW, init_std=0.2
)
PIPE, PIPE_FIELDS, _ = PIPELINES["pipe 2 x fsdp 2 x model 2, 4 microbatches"]
LONG = pytest.mark.long
CASES = [
    *(("data 2 x fsdp 2 x model 2", 2), ("seq 2 x fsdp 2 x model 2", 1)),
    *(pytest.param(name, 1, marks=LONG) for name in ("data=8", "fsdp=8", "model=8", "pipe")),
]


@functools.cache
def gradients(mesh_name, microbatches=1):
    config = TuneConfig(kind="lora", targets="q,v,wi", objective="choices")
    shape = {"one": ONE, "pipe": PIPE}.get(mesh_name) or MESHES[mesh_name]
    compute = dataclasses.replace(COMPUTE, **(PIPE_FIELDS if mesh_name == "pipe" else {}))
    mesh = make_mesh(shape, devices_of(shape))
    rows = pack_choices(*questions_of(80, seed=1), ROW)
    batch = type(rows)(*(field[:16] for field in rows))
    with jax.set_mesh(mesh):
        base = drawn_params(MODEL)
        trainable, frozen = jax.device_get(begin(MODEL, config, base))
        draw = np.random.default_rng(1)
        noise = lambda x: x + 0.1 * draw.normal(size=x.shape).astype(np.float32)
        trainable = jax.tree.map(noise, trainable)
        batch = jax.device_put(batch, named_sharding(mesh, ("batch", None)))
        loss_fn = make_tuning_loss(MODEL, compute, config)

        def run(trainable, frozen, batch):
            of_trainable = lambda tree, batch: loss_fn(merge(tree, frozen), batch)
            return accumulate_gradients(of_trainable, trainable, batch, microbatches)

        return jax.device_get(jax.jit(run)(trainable, frozen, batch))


@pytest.mark.parametrize("mesh_name, microbatches", CASES)
def test_every_mesh_agrees_with_one_device(mesh_name, microbatches):
    loss, grads = gradients(mesh_name, microbatches)
    expected_loss, expected = gradients("one")
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-3
    agree = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(agree, grads, expected)
