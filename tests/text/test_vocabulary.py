"""The seqio vocabulary: the op in TensorFlow's graph gives the ids of the Python encoder."""

import numpy as np
import pytest

from hclx.errors import DataError
from hclx.text.tokenizer import to_bytes
from tests.helpers.unicode_samples import LONG_RUNS, STRANGE, random_texts

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
HclxVocabulary = pytest.importorskip("hclx.text.vocabulary").HclxVocabulary


@pytest.fixture(scope="module", params=["train", "encode", "plain"])
def vocabulary(request, tokenizer_dirs):
    return HclxVocabulary(tokenizer_dirs[request.param])


def graph_ids(vocabulary, texts):
    dataset = tf.data.Dataset.from_generator(
        lambda: map(to_bytes, texts), output_signature=tf.TensorSpec((), tf.string)
    ).map(vocabulary.encode_tf)
    return [ids.tolist() for ids in dataset.as_numpy_iterator()]


def test_in_graph_ids_are_those_of_python(vocabulary, sample_texts):
    texts = [*STRANGE, *LONG_RUNS.values(), *random_texts(200, seed=7), *sample_texts[:20]]
    assert graph_ids(vocabulary, texts) == [vocabulary.tokenizer.encode(text) for text in texts]


def test_in_graph_ids_are_those_of_python_on_real_articles(vocabulary, wiki_texts):
    texts = [text[:2_000] for text in wiki_texts[:20]]
    assert graph_ids(vocabulary, texts) == [vocabulary.tokenizer.encode(text) for text in texts]


def test_decoding(vocabulary):
    text = "옛글 나랏말ᄊᆞ미 👍🏽"
    ids = vocabulary.tokenizer.encode(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode_tf(tf.constant(ids)).numpy().decode() == text


def test_special_ids_and_size(vocabulary):
    assert (vocabulary.pad_id, vocabulary.eos_id, vocabulary.bos_id) == (0, 1, 1)
    assert vocabulary.vocab_size == 1024


def test_the_folder_may_be_named_later(tokenizer_dirs, monkeypatch):
    monkeypatch.delenv("HCLX_TOKENIZER_DIR", raising=False)
    vocabulary = HclxVocabulary()
    with pytest.raises(DataError, match="HCLX_TOKENIZER_DIR"):
        vocabulary.vocab_size
    monkeypatch.setenv("HCLX_TOKENIZER_DIR", tokenizer_dirs["train"])
    first = vocabulary.encode("아버지가 방에")
    vocabulary.set_directory(tokenizer_dirs["plain"])
    assert vocabulary.encode("아버지가 방에") != first or vocabulary.tokenizer.morphemes == "none"
    assert np.array_equal(vocabulary.encode_tf("아버지가").numpy(), vocabulary.encode("아버지가"))
