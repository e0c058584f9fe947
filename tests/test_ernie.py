"""ERNIE: what its configurations leave out, the task's vector, and Paddle Fluid's names."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.config import ConfigError
from kerasbert.models.ernie import ErnieConfig
from kerasbert.models.registry import recognize
from tests.families.ernie import TINY
from tests.test_roberta import tensors_of
from tests.tiny import CONFIG, bert_tensors, inputs

GOOGLE = list(bert_tensors())


def test_what_the_configuration_leaves_out():
    config = ErnieConfig.from_dict(
        {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    )
    assert (config.intermediate_size, config.max_position_embeddings) == (64, 513)
    assert (config.hidden_act, config.layer_norm_eps) == ("relu", 1e-5)
    assert config.to_dict()["layer_norm_eps"] == 1e-5
    with pytest.raises(ConfigError, match="use_task_id must be true or false"):
        ErnieConfig.from_dict({**config.to_dict(), "use_task_id": "yes"})


@pytest.mark.parametrize(
    ("names", "config", "family"),
    [
        (GOOGLE, {"max_position_embeddings": 513, "hidden_act": "relu"}, "ernie"),
        (GOOGLE, {"max_position_embeddings": 513, "hidden_act": "gelu"}, "bert"),
        (GOOGLE, {"max_position_embeddings": 512, "hidden_act": "relu"}, "bert"),
        (["ernie.embeddings.word_embeddings.weight"], {}, "ernie"),
        (["embeddings.word_embeddings.weight"], {"model_type": "ernie"}, "ernie"),
        (["encoder_layer_0_multi_head_att_query_fc.w_0"], {}, "ernie"),
        ([], {"model_type": "ernie"}, "ernie"),
    ],
)
def test_how_it_is_recognised(names, config, family):
    assert recognize(names, config) == family


def test_bert_and_ernie_differ_by_their_constants_only():
    constants = {"hidden_act": "relu", "layer_norm_eps": 1e-5}
    ernie = build_transformer_model({**CONFIG, "hidden_act": "relu"}, bert_tensors(), "ernie")
    bert = build_transformer_model({**CONFIG, **constants}, bert_tensors(), "bert")
    np.testing.assert_array_equal(np.asarray(ernie(inputs())), np.asarray(bert(inputs())))


@pytest.fixture(scope="module")
def with_tasks():
    return build_transformer_model(**TINY[1], initializer_range=0.5, return_keras_model=False)


@pytest.mark.parametrize("table", ["google", "huggingface", "fluid"])
def test_the_task_is_the_first_one_unless_it_is_given(with_tasks, table):
    tensors = tensors_of(with_tasks, table)
    assert sum("task" in name for name in tensors) == 1
    model = build_transformer_model(
        None, tensors, "ernie", num_attention_heads=2, custom_task_ids=True
    )
    assert [x.name.split(":")[0] for x in model.inputs] == [
        *("Input-Token", "Input-Segment", "Input-Task")
    ]
    tasks = np.zeros((2, 7), "int32")
    first = np.asarray(model([*inputs(), tasks]))
    np.testing.assert_array_equal(first, np.asarray(with_tasks.model(inputs())))
    assert np.abs(np.asarray(model([*inputs(), tasks + 2])) - first).max() > 0.01


def test_tasks_need_their_table():
    with pytest.raises(ValueError, match="use_task_id=True"):
        build_transformer_model(**TINY[0], custom_task_ids=True)
