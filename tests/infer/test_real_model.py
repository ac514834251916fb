"""A real model through the engine: Korean prompts in one mixed batch, against transformers.

HCLX_MODEL_DIR names a folder of transformers with a Korean decoder in it, of a family that
`hclx convert import` takes.
"""

import itertools
import os

import numpy as np
import pytest

from hclx.infer import (
    EmbeddedEngine,
    EngineConfig,
    GenerateRequest,
    SamplingConfig,
    ScoreRequest,
    load_for_inference,
)
from hclx.text import load_tokenizer
from hclx.text.documents import expand_globs, read_documents

pytestmark = pytest.mark.long
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NEW = 64
TIE = 1e-3  # between logits that two programs in float32 may order otherwise


@pytest.fixture(scope="module")
def folder():
    if not os.environ.get("HCLX_MODEL_DIR"):
        pytest.skip("HCLX_MODEL_DIR is not set: it names a Korean decoder of transformers")
    return os.environ["HCLX_MODEL_DIR"]


@pytest.fixture(scope="module")
def theirs(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    from hclx.convert.importing import import_model

    path = tmp_path_factory.mktemp("run") / "run"
    import_model(folder, path)
    return load_for_inference(path, dtype="float32")


@pytest.fixture(scope="module")
def prompts(data_dir):
    """50 beginnings of documents of all corpora, of 5 to 250 characters."""
    texts = []
    for corpus in ("kowiki", "law", "reviews", "comments"):
        documents = read_documents(expand_globs(str(data_dir / "corpus" / corpus / "*.jsonl.gz")))
        texts += [d.text for d in itertools.islice(documents, 0, 1700, 100) if len(d.text) > 4]
    return [text[: 5 * (1 + i)] for i, text in enumerate(texts[:50])]


def greedy(theirs, ids, never, end):
    """The ids that transformers generates, up to the end of the document."""
    prompt = torch.tensor([ids])
    tokens = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NEW,
        do_sample=False,
        suppress_tokens=never,
        eos_token_id=end,
        pad_token_id=end,
    )[0, len(ids) :].tolist()
    return tokens[: tokens.index(end)] if end in tokens else tokens


def test_fifty_korean_prompts_in_one_mixed_batch(theirs, run, prompts):
    assert len(prompts) == 50
    tokenizer = load_tokenizer(run.tokenizer_dir)
    sampling = SamplingConfig(temperature=0.0, max_tokens=NEW)
    wild = SamplingConfig(temperature=1.0, max_tokens=100, repetition_penalty=1.2)
    with EmbeddedEngine(run, tokenizer, EngineConfig(rows=8)) as engine:
        others = [engine.submit(GenerateRequest(text, wild)) for text in prompts[::5]]
        others += [engine.submit(ScoreRequest(text)) for text in prompts[1::5]]
        results = [
            row[0] for row in engine.generate([GenerateRequest(p, sampling) for p in prompts])
        ]
        assert all(ticket.result(600) for ticket in others)
    sayable = tokenizer.token_bytes() > 0
    sayable[tokenizer.eod_id] = True
    never, ties = np.flatnonzero(~sayable).tolist(), []
    for text, result in zip(prompts, results):
        ids = [*tokenizer.begin_ids, *tokenizer.encode(text)]
        expected = greedy(theirs, ids, never, tokenizer.eod_id)
        if list(result.tokens) != expected:
            ties.append(gap(theirs, ids, [*result.tokens], expected, tokenizer.eod_id))
    print("differences, all of them ties of logits:", ties)
    assert all(tie < TIE for tie in ties) and len(ties) <= 2


def gap(theirs, ids, ours, expected, end):
    """How much less likely our first other token is than theirs, by their logits."""
    ours, expected = [*ours, end], [*expected, end]
    at = next(i for i, (a, b) in enumerate(zip(ours, expected)) if a != b)
    with torch.no_grad():
        logits = theirs(torch.tensor([[*ids, *expected[:at]]])).logits[0, -1]
    return float(logits[expected[at]] - logits[ours[at]])
