"""A tiny UniLM with its vocabulary: as a model, as a checkpoint, as a running service."""

from __future__ import annotations

import pytest

from tests.tiny import CONFIG, bert_tensors
from tests.tokenizers.conftest import make_tokens


@pytest.fixture(scope="session")
def tokenizer():
    from kerasbert import Tokenizer

    return Tokenizer(make_tokens(), do_lower_case=True)


@pytest.fixture(scope="session")
def tensors(tokenizer):
    config = {**CONFIG, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": 64}
    return config, bert_tensors(config)


@pytest.fixture(scope="session")
def model(tensors):
    """A UniLM with SimBERT's linear pooler."""
    from kerasbert import build_transformer_model

    return build_transformer_model(*tensors, model="unilm", with_pool="linear")


@pytest.fixture(scope="session")
def checkpoint(tensors, tokenizer, tmp_path_factory):
    """The same, as a published archive."""
    from kerasbert import build_transformer_model, save_weights_as_checkpoint

    path = tmp_path_factory.mktemp("checkpoint") / "tiny_unilm.zip"
    published = build_transformer_model(*tensors, with_mlm=True, with_pool=True)
    save_weights_as_checkpoint(published, path, vocab=tokenizer)
    return path


TEXTS = ["我爱北京天安门", "hello world, 2020年!", "", "科学" * 30, "a\0b 한 ΑΣ"]
