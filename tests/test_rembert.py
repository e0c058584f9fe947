"""RemBERT: the output table of its own, and the file in Google's format."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.config import ConfigError
from kerasbert.models.registry import recognize
from kerasbert.models.rembert import RembertConfig
from tests.families.rembert import TINY
from tests.test_roberta import tensors_of
from tests.tiny import inputs


@pytest.fixture(scope="module")
def rembert():
    return build_transformer_model(**TINY[0], initializer_range=0.5, return_keras_model=False)


def test_the_output_table_is_not_the_token_table(rembert):
    token, output = (rembert.layers[name] for name in ("Embedding-Token", "MLM-Embedding"))
    assert (token.output_dim, output.output_dim) == (6, 10)
    before = np.asarray(rembert.model(inputs())[1])
    kept = np.array(output.embeddings)
    output.embeddings.assign(kept * 2)
    assert np.abs(np.asarray(rembert.model(inputs())[1]) - before).max() > 1e-4
    output.embeddings.assign(kept)


def test_both_tables_keep_the_chosen_tokens(rembert):
    keep = list(range(0, 50, 3))
    found = build_transformer_model(
        checkpoint=tensors_of(rembert, "huggingface"),
        num_attention_heads=2,
        output_embedding_size=10,
        keep_tokens=keep,
        with_mlm=True,
    )
    for name in ("Embedding-Token", "MLM-Embedding"):
        table = np.asarray(rembert.layers[name].embeddings)
        np.testing.assert_array_equal(
            np.asarray(found.get_layer(name).embeddings), table[keep], err_msg=name
        )


def test_the_body_alone_in_googles_format(rembert):
    tensors = tensors_of(rembert, "google")
    body = {name: value for name, value in tensors.items() if not name.startswith("cls/")}
    config = {"model_type": "rembert", "num_attention_heads": 2}
    assert recognize(body, config) == "rembert"
    assert recognize(body, {}) == "bert"  # which gives the same
    body["bert/unknown/output_embedding"] = np.zeros((50, 10))
    assert recognize(body, {}) == "rembert"
    states = np.asarray(build_transformer_model(config, body)(inputs()))
    same = build_transformer_model(checkpoint=tensors, num_attention_heads=2, model="bert")
    np.testing.assert_array_equal(states, np.asarray(same(inputs())))
    with pytest.raises(CheckpointMismatchError, match="no MLM head"):
        build_transformer_model(config, body, with_mlm=True)


def test_configuration():
    sizes = {key: value for key, value in TINY[0].items() if key in RembertConfig.field_names()}
    del sizes["embedding_size"], sizes["output_embedding_size"]
    config = RembertConfig.from_dict({**sizes, "input_embedding_size": 7})
    assert (config.embedding_size, config.output_embedding_size) == (7, 1664)
    assert RembertConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="output_embedding_size"):
        RembertConfig.from_dict({**sizes, "output_embedding_size": 0})
