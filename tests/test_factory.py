"""build_transformer_model: arguments, options, inference of what is left out."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from kerasbert import (
    ConfigError,
    TransformerConfig,
    build_transformer_model,
    list_models,
    register_model,
)
from kerasbert.backend import keras
from kerasbert.models import registry
from kerasbert.models.bert import BERT
from kerasbert.models.registry import recognize
from tests.tiny import CONFIG, bert_tensors, inputs, write_checkpoint

TENSORS = bert_tensors()


def build(**options):
    return build_transformer_model(CONFIG, TENSORS, **options)


def array(x):
    return np.asarray(x)


@pytest.mark.smoke
def test_every_way_to_name_the_same_checkpoint(tmp_path):
    prefix = write_checkpoint(tmp_path / "folder")
    config = tmp_path / "folder" / "bert_config.json"
    x = inputs()
    expected = array(build()(x))
    for arguments in (
        (config, prefix),
        (str(config), f"{prefix}.index"),
        (CONFIG, prefix),
        (config, TENSORS),
        (tmp_path / "folder",),
        (None, f"{prefix}.data-00000-of-00001"),
    ):
        np.testing.assert_array_equal(array(build_transformer_model(*arguments)(x)), expected)
    old = build_transformer_model(config_path=config, checkpoint_path=prefix, model="bert")
    np.testing.assert_array_equal(array(old(x)), expected)


def test_old_and_new_name_together_are_refused():
    with pytest.raises(TypeError, match=r"config_path is the old name of config"):
        build_transformer_model(CONFIG, TENSORS, config_path="bert_config.json")


def test_without_checkpoint_the_weights_are_untrained_and_differ_between_layers():
    model = build_transformer_model(CONFIG)
    attention = model.get_layer("Transformer-0-MultiHeadSelfAttention")
    query, key = array(attention.query.kernel), array(attention.key.kernel)
    assert 0.01 < query.std() < 0.03
    assert np.abs(query - key).max() > 0.01


def test_sizes_alone_make_a_model():
    model = build_transformer_model(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    assert model.output_shape == (None, None, 8)


def test_nothing_at_all_is_an_error():
    with pytest.raises(ConfigError, match=r"Neither a config nor a checkpoint"):
        build_transformer_model()


def test_missing_sizes_are_read_from_the_variables():
    # All but the number of heads shows in the variables; Google's own default of 16 segment types
    # for a config that omits them would be wrong for every released checkpoint.
    transformer = build_transformer_model(
        {"num_attention_heads": 4}, TENSORS, return_keras_model=False
    )
    assert transformer.config == TransformerConfig.from_dict(CONFIG)


def test_a_factorised_embedding_is_read_from_the_variables():
    config = {**CONFIG, "embedding_size": 8}
    told = build_transformer_model(config, bert_tensors(config))(inputs())
    read = build_transformer_model(CONFIG, bert_tensors(config))(inputs())
    np.testing.assert_array_equal(array(read), array(told))


def test_missing_heads_are_asked_for():
    with pytest.raises(ConfigError, match=r"lacks num_attention_heads.*num_attention_heads=\.\.\."):
        build_transformer_model({"hidden_size": 16}, TENSORS)


def test_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match=r"'models'.*Did you mean"):
        build(models="electra")
    with pytest.raises(TypeError, match=r"'with_mlmm'.*with_mlm"):
        build(with_mlmm=True)


def test_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown model 'brt'\. Did you mean bert"):
        build(model="brt")


def test_unknown_application_is_refused():
    with pytest.raises(ValueError, match=r"application of .* must be one of encoder, lm, unilm"):
        build(application="seq2seq")


def test_the_inferred_family_is_said(caplog):
    with caplog.at_level(logging.INFO, "kerasbert"):
        build()
    assert "model='bert' inferred" in caplog.text
    assert "loaded" in caplog.text


def test_unilm_is_a_model_name_and_an_application():
    x = inputs()
    by_model = build(model="unilm")
    by_application = build(application="unilm")
    np.testing.assert_array_equal(array(by_model(x)), array(by_application(x)))
    assert by_model.output_shape == (None, None, CONFIG["vocab_size"])
    with pytest.raises(ValueError, match=r"model='unilm' means application='unilm'"):
        build(model="unilm", application="lm")


def test_unilm_mask_by_brute_force():
    """Changing a token changes exactly the positions that may see it."""
    token_ids = np.array([[1, 2, 3, 4, 5, 6]])
    segment_ids = np.array([[0, 0, 0, 1, 1, 1]])
    model = build(model="unilm", with_mlm="linear", num_hidden_layers=1)
    before = array(model([token_ids, segment_ids]))
    for changed in range(6):
        other = token_ids.copy()
        other[0, changed] = 9
        after = array(model([other, segment_ids]))
        seen = np.abs(after - before).max(axis=(0, 2)) > 1e-6
        expected = [
            (changed <= 2 and position <= 2) or changed <= position for position in range(6)
        ]
        assert seen.tolist() == expected


def test_lm_sees_only_the_left():
    token_ids, segment_ids = np.array([[1, 2, 3, 4]]), np.zeros((1, 4), "int32")
    model = build(application="lm", with_mlm="linear")
    before = array(model([token_ids, segment_ids]))
    other = token_ids.copy()
    other[0, 2] = 9
    seen = np.abs(array(model([other, segment_ids])) - before).max(axis=(0, 2)) > 1e-6
    assert seen.tolist() == [False, False, True, True]


def test_heads_and_their_order():
    assert build(with_pool=True).output_shape == (None, 16)
    assert build(with_nsp=True).output_shape == (None, 2)
    nsp, mlm = build(with_nsp=True, with_mlm=True).outputs
    assert (tuple(nsp.shape), tuple(mlm.shape)) == ((None, 2), (None, None, 50))


def test_fewer_layers_are_the_first_ones():
    model = build(num_hidden_layers=1)
    full = build()
    inner = keras.Model(full.inputs, full.get_layer("Transformer-0-FeedForward-Norm").output)
    np.testing.assert_array_equal(array(model(inputs())), array(inner(inputs())))


def test_shorter_position_table_and_fewer_segments_by_hand():
    model = build(max_position=8, segment_vocab_size=1)
    x, _ = inputs()
    zeros = np.zeros_like(x)
    np.testing.assert_array_equal(array(model([x, zeros])), array(build()([x, zeros])))


def test_too_long_a_text_is_said():
    x = np.ones((1, 21), "int32")
    with pytest.raises(Exception, match=r"too long for this model.*hierarchical_position"):
        build()([x, x * 0])


def test_hierarchical_positions_go_on():
    x = np.ones((1, 21), "int32")
    assert build(hierarchical_position=True)([x, x * 0]).shape == (1, 21, 16)


def test_no_segments():
    model = build(segment_vocab_size=0)
    assert len(model.inputs) == 1
    assert model(inputs()[0]).shape == (2, 7, 16)
    assert model.input_shape == (None, None)
    with pytest.raises(ValueError, match=r"segment"):
        build(segment_vocab_size=0, model="unilm")


def test_attention_mask_input_equals_padding_by_id():
    token_ids, segment_ids = inputs()
    mask = (token_ids != 0).astype("int32")
    masked = build(with_attention_mask=True)([token_ids, segment_ids, mask])
    np.testing.assert_allclose(array(masked), array(build()([token_ids, segment_ids])), atol=1e-6)


def test_position_ids_input():
    token_ids, segment_ids = inputs()
    positions = np.tile(np.arange(7), (2, 1))
    given = build(custom_position_ids=True)([token_ids, segment_ids, positions])
    np.testing.assert_allclose(array(given), array(build()([token_ids, segment_ids])), atol=1e-6)


def test_sequence_length_fixes_the_shape():
    assert build(sequence_length=7).output_shape == (None, 7, 16)


def test_keep_tokens_outside_the_vocabulary():
    with pytest.raises(ValueError, match=r"outside the vocabulary of 50: \[50\]"):
        build(keep_tokens=[0, 50])


def test_shared_and_prefixed_copies_in_one_model():
    first = build(return_keras_model=False)
    second = build(return_keras_model=False, prefix="Student-", num_hidden_layers=1)
    names = {layer.name for layer in second.model.layers}
    assert "Student-Embedding-Token" in names and "Student-Input-Token" in names
    both = keras.Model(first.model.inputs, [first.model.output, second.model(first.model.inputs)])
    x = inputs()
    teacher, student = both(x)
    np.testing.assert_array_equal(array(teacher), array(build()(x)))
    np.testing.assert_array_equal(array(student), array(build(num_hidden_layers=1)(x)))
    shared = build(return_keras_model=False, layers=first.layers, num_hidden_layers=1)
    assert shared.layers["Embedding-Token"] is first.layers["Embedding-Token"]


def test_third_parties_can_register_a_family():
    class Mine(BERT):
        family = "mine"

    register_model("Mine", Mine, with_pool="linear")
    try:
        assert "mine" in list_models()
        assert build(model="mine").output_shape == (None, 16)
        assert build(model=Mine).output_shape == (None, None, 16)
    finally:
        registry._FAMILIES.pop("mine")


def test_a_family_that_does_not_say_which_files_are_its_own_claims_none():
    class Mine(BERT):
        family = "mine"

    register_model("mine", Mine)
    try:
        assert recognize(("bert/embeddings/position_embeddings",), {}) == "bert"
        assert recognize((), {"model_type": "bert"}) == "bert"
    finally:
        registry._FAMILIES.pop("mine")


@pytest.mark.parametrize(
    ("tensor", "family"),
    [
        ("deberta.encoder.rel_embeddings.weight", "DeBERTa"),
        ("distilbert.transformer.layer.0.attention.q_lin.weight", "DistilBERT"),
        ("transformer.h.0.attn.q_proj.weight", "GPT-J"),
    ],
)
@pytest.mark.parametrize("model", [None, "bert"])
def test_architectures_that_are_not_built_here_are_named(tensor, family, model):
    with pytest.raises(ValueError, match=rf"{family}.*does not build"):
        build_transformer_model(CONFIG, {tensor: np.zeros(2)}, model)


def test_layer_names_are_those_of_bert4keras():
    names = {layer.name for layer in build(with_nsp=True, with_mlm=True).layers}
    assert {
        "Input-Token", "Input-Segment", "Embedding-Token", "Embedding-Segment",
        "Embedding-Token-Segment", "Embedding-Position", "Embedding-Norm", "Embedding-Dropout",
        "Transformer-1-MultiHeadSelfAttention", "Transformer-1-MultiHeadSelfAttention-Dropout",
        "Transformer-1-MultiHeadSelfAttention-Add", "Transformer-1-MultiHeadSelfAttention-Norm",
        "Transformer-1-FeedForward", "Transformer-1-FeedForward-Norm", "Pooler", "Pooler-Dense",
        "NSP-Proba", "MLM-Dense", "MLM-Norm", "MLM-Bias", "MLM-Activation",
    } <= names  # fmt: skip


def test_config_values_are_checked():
    for wrong, message in (
        ({"hidden_size": 18}, "not a multiple of num_attention_heads"),
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1"),
        ({"hidden_dropout_prob": 1.5}, "must be a rate"),
        ({"hidden_act": "gelo"}, "Unknown activation 'gelo'. Did you mean"),
        ({"num_hidden_layers": "twelve"}, "num_hidden_layers must be an integer"),
    ):
        with pytest.raises(ValueError, match=message):
            build_transformer_model({**CONFIG, **wrong})


def test_config_file_round_trip():
    config = TransformerConfig.from_dict({**CONFIG, "directionality": "bidi"})
    assert json.loads(json.dumps(config.to_dict())) == {**CONFIG, "directionality": "bidi"}
    assert TransformerConfig.from_dict(config.to_dict()) == config
