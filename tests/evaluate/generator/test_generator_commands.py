"""The commands `hclx perplexity` and `hclx text_metrics` on a small run of another model."""

import json
import math

import pytest

from hclx.convert.importing import import_model
from hclx.text import load_tokenizer
from tests.helpers.commands import launch, refused
from tests.helpers.families import save_model
from tests.helpers.foreign_tokenizers import save_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

TEXTS = [
    "봄이면 뒷산에 진달래가 피고, 여름이면 개울에서 가재를 잡았다.",
    "역 앞 국숫집은 새벽 다섯 시에 문을 연다. 첫차를 타는 사람들이 국물을 마시고 간다. " * 6,
    "Radio 24시",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A small model with random weights: the folder of transformers, and the run."""
    folder, run = tmp_path_factory.mktemp("hf"), tmp_path_factory.mktemp("run") / "small"
    save_model("llama", folder, vocab_size=512)
    save_tokenizer("Qwen", folder)
    import_model(folder, run)
    return folder, run


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "held_out.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    return path


def their_nats(folder, tokenizer, text, length, stride):
    """Minus the log-likelihood of a text by transformers, in windows by the definition."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    begin = tokenizer.begin_ids or [tokenizer.eod_id]
    ids, nats = [*begin, *tokenizer.encode(text)], 0.0
    done, end = len(begin), min(length, len(ids))
    while done < len(ids):
        window = torch.tensor([ids[max(0, end - length) : end]])
        with torch.no_grad():
            rows = torch.log_softmax(model(window).logits[0].double(), -1)
        for place in range(done, end):
            nats -= rows[window.shape[1] - end + place - 1, ids[place]].item()
        done, end = end, min(len(ids), end + stride)
    return nats


def test_bits_per_byte_are_those_of_transformers(folders, text_file, tmp_path):
    folder, run = folders
    output = tmp_path / "figures.json"
    done = launch(
        "perplexity.py",
        f"--model_dir={run}",
        f"--input={text_file}",
        "--max_length=48",
        "--stride=20",
        f"--output={output}",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    tokenizer = load_tokenizer(run / "tokenizer")
    nats = sum(their_nats(folder, tokenizer, text, 48, 20) for text in TEXTS)
    n_bytes = sum(len(text.encode()) for text in TEXTS)
    bits = nats / math.log(2) / n_bytes
    assert results["total"]["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-5)
    assert f"{bits:.3f}" in done.stdout
    assert results["total"]["bytes"] == n_bytes and results["total"]["not_kept"] == 0
    low, high = results["total"]["bits_per_byte"]["interval"]
    assert low < bits < high
    assert results["model"]["tokenizer"] == tokenizer.fingerprint
    assert (results["max_length"], results["stride"]) == (48, 20)
    assert results["begin"] == tokenizer.begin_ids and "begin_ids" in results["begin_rule"]


@pytest.mark.parametrize(
    "options, code, message",
    [
        ([], 64, "--model_dir (or --engine) and --input are needed"),
        (["--input=nowhere.txt", "--model_dir=x"], 65, "nowhere.txt"),
        (["--stride=300"], 64, "stride=300 is out of range"),
        (["--max_length=99999"], 64, "--max_length=99999"),
        (["--output=nowhere/figures.json"], 64, "does not exist; make it first"),
    ],
)
def test_wrong_options_of_perplexity(options, code, message, folders, text_file):
    if options and "--model_dir=x" not in options:
        options = [f"--model_dir={folders[1]}", f"--input={text_file}", *options]
    result = launch("perplexity.py", *options)
    assert message in refused(result, code)


def human_file(folder):
    """Prompts and texts of 30 documents, and the file of these."""
    lines = [f"{i}번째 이야기. " + TEXTS[1][i : i + 150] for i in range(30)]
    (folder / "documents.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in lines))
    options = [f"--documents={folder}/documents.jsonl", f"--human={folder}/human.jsonl"]
    options += ["--prompt_characters=20", "--text_characters=100"]
    made = launch("text_metrics.py", *options)
    assert made.returncode == 0 and "30 prompts" in made.stdout, made.stderr
    assert "exists" in refused(launch("text_metrics.py", *options), 64)
    return folder / "human.jsonl"


def figures_of(folder):
    files = [f"--human={folder}/human.jsonl", f"--model={folder}/model.jsonl"]
    files += [f"--corpus={folder}/documents.jsonl", f"--output={folder}/figures.json"]
    measured = launch("text_metrics.py", *files)
    assert measured.returncode == 0, measured.stderr
    assert "DA " in measured.stdout and "0.5 is best" in measured.stdout
    return json.loads((folder / "figures.json").read_text())


def test_texts_of_a_model_beside_those_of_people(tmp_path):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("mecab_ko")
    lines = [json.loads(line) for line in human_file(tmp_path).read_text().splitlines()]
    model = [{**line, "text": f" {line['text'][::-1]}"} for line in lines]
    (tmp_path / "model.jsonl").write_text("\n".join(map(json.dumps, model)))
    figures = figures_of(tmp_path)
    assert figures["discriminator"]["accuracy"] == 1
    # The texts of people are in the corpus; read from behind they are not.
    assert figures["figures"]["human"]["share_of_50_characters"] == 1
    assert figures["figures"]["model"]["share_of_50_characters"] == 0


@pytest.mark.long
def test_from_documents_to_the_figures_of_a_run(folders, tmp_path):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("mecab_ko")
    human = human_file(tmp_path)
    options = [f"--prompts={human}", f"--output={tmp_path}/model.jsonl", "--max_tokens=150"]
    generated = launch("generate.py", f"--model_dir={folders[1]}", "--temperature=1", *options)
    assert generated.returncode == 0, generated.stderr
    assert figures_of(tmp_path)["discriminator"]["accuracy"] > 0.9  # random weights


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--model=FILE.jsonl is missing"),
        (["--documents=x.txt"], "--documents makes the file that --human names"),
        (["--model=x", "--output=nowhere/x.json"], "does not exist; make it first"),
    ],
)
def test_wrong_options_of_text_metrics(options, message):
    assert message in refused(launch("text_metrics.py", *options), 64)


def test_the_model_of_a_server(folders, text_file, tmp_path):
    """The server gives the token at position p of every window the log-probability -p."""
    from tests.helpers.model_server import model_server

    output = tmp_path / "figures.json"
    tokenizer_dir = folders[1] / "tokenizer"
    options = ["--max_length=40", "--stride=40", f"--input={text_file}", f"--output={output}"]
    with model_server("vllm") as server:
        options.append(f"--engine={server.url}")
        assert "needs --tokenizer_dir" in refused(launch("perplexity.py", *options), 64)
        done = launch("perplexity.py", *options, f"--tokenizer_dir={tokenizer_dir}")
        bodies = server.bodies
    assert done.returncode == 0, done.stderr
    tokenizer = load_tokenizer(tokenizer_dir)
    nats = n_tokens = 0
    for text in TEXTS:
        n = len(tokenizer.encode(text))
        n_tokens += n
        whole, rest = divmod(n, 39)  # a window of 40 tokens scores 39
        nats += whole * 39 * 40 / 2
        # The last window has as many tokens before those that are scored as it has room for.
        first = 1 if not whole else 40 - rest
        nats += sum(range(first, first + rest))
    total = json.loads(output.read_text())["total"]
    assert total["tokens"] == n_tokens and total["nats"] == pytest.approx(nats)
    assert all(isinstance(body["prompt"][0], int) for body in bodies)
