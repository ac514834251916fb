"""A real model through the engine: Korean prompts in one mixed batch, against transformers.

HCLX_MODEL_DIR names a folder of transformers with a Korean decoder in it, of a family that
`hclx convert import` takes.
"""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hclx.text import load_tokenizer
from hclx.text.documents import expand_globs, read_documents
from tests.helpers.commands import environment

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
    return path


@pytest.fixture(scope="module")
def prompts(data_dir):
    """50 beginnings of documents of all corpora, of 5 to 250 characters."""
    texts = []
    for corpus in ("kowiki", "law", "reviews", "comments"):
        documents = read_documents(expand_globs(str(data_dir / "corpus" / corpus / "*.jsonl.gz")))
        texts += [d.text for d in itertools.islice(documents, 0, 1700, 100) if len(d.text) > 4]
    return [text[: 5 * (1 + i)] for i, text in enumerate(texts[:50])]


def greedy(theirs, ids, sayable, end):
    """The ids that transformers generates, up to the end of the document."""
    prompt = torch.tensor([ids])
    tokens = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NEW,
        do_sample=False,
        suppress_tokens=np.flatnonzero(~sayable).tolist(),
        eos_token_id=end,
        pad_token_id=end,
    )[0, len(ids) :].tolist()
    return tokens[: tokens.index(end)] if end in tokens else tokens


def test_fifty_korean_prompts_in_one_mixed_batch(theirs, run, prompts):
    assert len(prompts) == 50
    tokenizer = load_tokenizer(run / "tokenizer")
    command = [sys.executable, "-m", "tests.helpers.engine_tokens", str(run), str(NEW)]
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "env": environment()}
    done = subprocess.run(command, input=json.dumps(prompts), **options)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    sayable = tokenizer.token_bytes() > 0
    sayable[tokenizer.eod_id] = True
    gaps = []
    for i, (text, result) in enumerate(zip(prompts, results)):
        ids = [*tokenizer.begin_ids, *tokenizer.encode(text)]
        tokens = [*result, tokenizer.eod_id][:NEW]
        of_tokens, likeliest = next_logits(theirs, ids, tokens, sayable)
        gaps += (likeliest - of_tokens)[likeliest > of_tokens].tolist()
        if i % 10 == 0 and (likeliest == of_tokens).all():
            assert greedy(theirs, ids, sayable, tokenizer.eod_id) == result
    print("tokens that are not the likeliest of transformers, and by how much:", gaps)
    assert all(gap < TIE for gap in gaps) and len(gaps) <= 2


def next_logits(theirs, ids, tokens, sayable):
    """The logits of tokens that follow `ids`, and the greatest in the place of each, by one forward
    pass: a text whose tokens are all the likeliest is the greedy one.
    """
    with torch.no_grad():
        rows = theirs(torch.tensor([[*ids, *tokens]])).logits[0, len(ids) - 1 : -1].numpy()
    return rows[np.arange(len(tokens)), tokens], rows[:, : len(sayable)][:, sayable].max(-1)
