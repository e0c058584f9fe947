"""RoBERTa: its positions, its one segment, and which checkpoints of that name are BERT."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.mapping import expand, on_save
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.layers import ConstantEmbedding, PaddedPositionEmbedding
from kerasbert.models.bert import BERT
from kerasbert.models.registry import recognize
from kerasbert.models.roberta import RoBERTa, RobertaConfig, XLMRobertaXL
from kerasbert.models.weights import variables_by_path
from tests.families.roberta import ONE_SEGMENT
from tests.huggingface_cases import write
from tests.test_safetensors import TENSORS as BERT_TENSORS
from tests.tiny import CONFIG, bert_tensors

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 22,
    **ONE_SEGMENT,
}
IDS = np.array([[0, 7, 8, 9, 10, 2], [0, 7, 8, 2, 1, 1]])
ROBERTA = {"roberta.embeddings.word_embeddings.weight": (50, 16)}
XL = {**ROBERTA, "roberta.encoder.LayerNorm.weight": (16,)}
BODY = {"embeddings.word_embeddings.weight": (50, 16)}
ONE, TWO = ({**BODY, "embeddings.token_type_embeddings.weight": (rows, 16)} for rows in (1, 2))
GOOGLE = {"bert/embeddings/position_embeddings": (20, 16)}
HFL = {"bert.embeddings.position_embeddings.weight": (20, 16)}
FAIRSEQ = {"encoder.sentence_encoder.embed_tokens.weight": (50, 16)}


def tensors_of(transformer, table: str) -> dict[str, np.ndarray]:
    """A built model's values under the names of one of its tables."""
    rows = next(t.rows for t in transformer.tables if t.name == table)
    variables = variables_by_path(transformer.layers)
    return {
        row.tensor: np.asarray(on_save(row.op, tf.convert_to_tensor(variables[row.variable])))
        for row in expand(rows, transformer.config.num_hidden_layers)
        if row.variable in variables
    }


def build(model="roberta", **options):
    return build_transformer_model(
        model=model, return_keras_model=False, **{**SIZES, "initializer_range": 0.5, **options}
    )


# ----------------------------------------------------------------------------- BERT or RoBERTa


@pytest.mark.parametrize(
    ("shapes", "config", "family"),
    [
        (GOOGLE, {}, BERT),
        (GOOGLE, {"model_type": "roberta", "type_vocab_size": 1}, BERT),
        (HFL, {"model_type": "bert"}, BERT),
        (ROBERTA, {}, RoBERTa),
        (ROBERTA, {"type_vocab_size": 2}, RoBERTa),
        (XL, {}, XLMRobertaXL),
        (FAIRSEQ, {}, RoBERTa),
        ({**FAIRSEQ, "encoder.sentence_encoder.layer_norm.weight": (16,)}, {}, XLMRobertaXL),
        (BODY, {"model_type": "bert"}, BERT),
        (BODY, {"model_type": "xlm-roberta"}, RoBERTa),
        (ONE, {}, RoBERTa),
        (TWO, {}, BERT),
        ({**BODY, "encoder.LayerNorm.weight": (16,)}, {}, XLMRobertaXL),
        ({}, {"model_type": "bert"}, BERT),
        ({}, {"model_type": "camembert"}, RoBERTa),
        ({}, {"model_type": "xlm-roberta-xl"}, XLMRobertaXL),
        ({}, {"type_vocab_size": 2}, BERT),
        ({}, {"segment_vocab_size": 0}, BERT),
        ({}, {"type_vocab_size": 1}, RoBERTa),
        ({}, {"type_vocab_size": 2, "pad_token_id": 1}, RoBERTa),
        ({}, {}, RoBERTa),
    ],
)
def test_which_model_the_name_means(shapes, config, family):
    assert RoBERTa.select(shapes, config) is family


@pytest.mark.parametrize(
    ("shapes", "config", "name"),
    [
        (ROBERTA, {}, "roberta"),
        (XL, {}, "xlm_roberta_xl"),
        (FAIRSEQ, {}, "roberta"),
        (ONE, {"type_vocab_size": 1}, "roberta"),
        (BODY, {"model_type": "roberta"}, "roberta"),
        (BODY, {"model_type": "bert", "type_vocab_size": 1}, "bert"),
        (TWO, {"type_vocab_size": 2}, None),
        (HFL, {"model_type": "roberta"}, "bert"),
        ({}, {"model_type": "xlm-roberta"}, "roberta"),
    ],
)
def test_which_model_is_inferred(shapes, config, name):
    assert recognize(shapes, config) == name


@pytest.mark.parametrize("tensors", [bert_tensors(), BERT_TENSORS], ids=["google", "huggingface"])
def test_bert_under_the_name_of_roberta_stays_bert(tensors, caplog):
    with caplog.at_level(logging.INFO, "kerasbert"):
        found = build_transformer_model(CONFIG, tensors, "roberta", return_keras_model=False)
    assert found.family == "bert"
    assert "model='roberta' is model='bert' for this checkpoint" in caplog.text
    assert len(found.model.inputs) == 2


def test_another_family_by_name_is_doubted():
    tensors = tensors_of(build(), "huggingface")
    for name in ("bert", "xlm_roberta_xl"):
        with pytest.raises(CheckpointMismatchError, match="try model='roberta'"):
            build_transformer_model(SIZES, tensors, name)


# ----------------------------------------------------------------------------- names


@pytest.mark.parametrize("family", ["roberta", "xlm_roberta_xl"])
@pytest.mark.parametrize("table", ["google", "huggingface"])
def test_names_of_a_table_give_the_same_model(family, table, tmp_path):
    first = build(family, with_mlm=True, with_pool=True)
    config = {**SIZES, "model_type": "xlm-roberta"}
    folder = write(tmp_path / "saved", config, tensors_of(first, table))
    again = build_transformer_model(folder, with_mlm=True, with_pool=True)
    for ours, theirs in zip(again(IDS), first.model(IDS)):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_a_body_without_type_in_its_configuration(tmp_path):
    tensors = tensors_of(build(), "huggingface")
    body = {re.sub("^roberta.", "", name): value for name, value in tensors.items()}
    config = {key: value for key, value in SIZES.items() if key != "pad_token_id"}
    found = build_transformer_model(write(tmp_path / "m", config, body), return_keras_model=False)
    assert (found.family, found.config.pad_token_id) == ("roberta", 1)
    assert found.config.layer_norm_eps == 1e-5


def test_hint_on_the_pooler_that_most_files_lack():
    tensors = tensors_of(build(with_mlm=True), "huggingface")
    with pytest.raises(CheckpointMismatchError, match=r"this file has no pooler.*with_pool"):
        build_transformer_model(checkpoint=tensors, num_attention_heads=4, with_pool=True)


@pytest.mark.parametrize("values", [{}, {"layer_norm_eps": 1e-12, "pad_token_id": 0}])
def test_what_the_family_takes_for_granted_is_written_all_the_same(values, tmp_path):
    config = RobertaConfig.from_dict({**SIZES, **values})
    written = config.to_dict()
    assert written["layer_norm_eps"] == config.layer_norm_eps
    assert written["pad_token_id"] == config.pad_token_id
    path = save_weights_as_checkpoint(build(**values), tmp_path / "roberta.ckpt")
    again = build_transformer_model(path, return_keras_model=False)
    assert again.family == "roberta"
    assert again.config.layer_norm_eps == values.get("layer_norm_eps", 1e-5)
    assert again.config.pad_token_id == values.get("pad_token_id", 1)


# ----------------------------------------------------------------------------- positions


def test_padding_is_not_counted():
    layer = PaddedPositionEmbedding(9, 1, pad_token_id=1)
    layer.build((None, None, 1))
    layer.embeddings.assign(np.arange(9.0)[:, None])
    ids = np.array([[0, 5, 1, 6, 1], [1, 1, 0, 5, 2], [1, 1, 1, 1, 1]])
    rows = np.asarray(layer(np.zeros((3, 5, 1), "float32"), token_ids=ids))[:, :, 0]
    np.testing.assert_array_equal(rows, [[2, 3, 1, 4, 1], [1, 1, 2, 3, 4], [1, 1, 1, 1, 1]])


def test_long_texts_are_refused_but_not_long_padding():
    model = build(max_position_embeddings=8).model  # six tokens
    padded = np.pad(IDS, ((0, 0), (0, 5)), constant_values=1)
    np.testing.assert_allclose(np.asarray(model(padded))[:, :6], np.asarray(model(IDS)), atol=1e-5)
    with pytest.raises(Exception, match="table has 8 rows, of which 6 are for tokens"):
        model(np.pad(IDS, ((0, 0), (1, 0)), constant_values=5))


def test_custom_positions_are_rows_of_the_table():
    first = build()
    second = build_transformer_model(
        checkpoint=tensors_of(first, "huggingface"), num_attention_heads=4, custom_position_ids=True
    )
    positions = np.array([[2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 1, 1]])
    np.testing.assert_array_equal(
        np.asarray(second([IDS, positions])), np.asarray(first.model(IDS))
    )


def test_left_padding_leaves_real_tokens_unchanged():
    model = build().model
    left = np.pad(IDS[:1], ((0, 0), (3, 0)), constant_values=1)
    mask = build(with_attention_mask=True)
    mask.model.set_weights(model.get_weights())
    found = np.asarray(mask.model([left, left != 1]))[:, 3:]
    np.testing.assert_allclose(found, np.asarray(model(IDS[:1])), atol=1e-5)


# ----------------------------------------------------------------------------- segments


def test_the_only_segment_is_added_everywhere():
    layer = ConstantEmbedding(3, 2)
    layer.build(None)
    x = np.zeros((2, 4, 2), "float32")
    np.testing.assert_array_equal(
        np.asarray(layer(x)), np.broadcast_to(np.asarray(layer.embeddings)[0], x.shape)
    )
    transformer = build()
    assert [x.name.split(":")[0] for x in transformer.model.inputs] == ["Input-Token"]
    before = np.asarray(transformer.model(IDS))
    segment = transformer.layers["Embedding-Segment"]
    segment.embeddings.assign(np.asarray(segment.embeddings) + 1.0 + np.arange(16))
    assert np.abs(np.asarray(transformer.model(IDS)) - before).max() > 0.01


def test_unilm_reads_its_mask_from_segments():
    transformer = build(application="unilm", with_mlm="linear")
    segments = np.array([[0, 0, 0, 1, 1, 1]])
    ids = IDS[:1]
    first = np.asarray(transformer.model([ids, segments]))
    later = ids.copy()
    later[0, 5] = 20
    changed = np.asarray(transformer.model([later, segments]))
    np.testing.assert_allclose(changed[:, :5], first[:, :5], atol=1e-5)
    source = [np.asarray(transformer.model([x, segments * 0]))[:, 0] for x in (ids, later)]
    assert np.abs(source[0] - source[1]).max() > 1e-3


def test_two_segments_are_an_input():
    assert len(build(type_vocab_size=2).model.inputs) == 2


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"with_nsp": True}, "not trained on next sentence prediction"),
        ({"hierarchical_position": True}, "rows that are no positions"),
    ],
)
def test_refused_options(option, reason):
    with pytest.raises(ValueError, match=reason):
        build(**option)


def test_no_mask_reaches_what_follows_as_keras_mask():
    """Pooling after the encoder leaves padding out: the padding id is the family's."""
    transformer = build()
    pooled = keras.layers.GlobalAveragePooling1D()(transformer.model.output)
    found = np.asarray(keras.Model(transformer.model.inputs, pooled)(IDS))[1]
    states = np.asarray(transformer.model(IDS))[1, :4]
    np.testing.assert_allclose(found, states.mean(0), atol=1e-5)
