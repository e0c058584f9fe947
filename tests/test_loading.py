"""Exact and strict: what does not fit is said, in one table, with the likely cause."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import google
from kerasbert.checkpoints.report import CheckpointMismatchError, merge_indices
from kerasbert.models.weights import variables_by_path
from tests.tiny import CONFIG, bert_tensors, inputs, write_checkpoint


def load(tensors, **options):
    return build_transformer_model(CONFIG, tensors, return_keras_model=False, **options)


def test_every_variable_gets_its_tensor_by_value():
    tensors = bert_tensors()
    transformer = load(tensors, with_nsp=True, with_mlm=True)
    values = variables_by_path(transformer.layers)
    assert len(values) == len(tensors)
    table = {row.variable: row for row in transformer.tables[0].rows}
    for path, variable in values.items():
        index = path.split("-")[1] if path.startswith("Transformer-") else None
        row = table[path if index is None else path.replace(f"-{index}-", "-{i}-", 1)]
        expected = tensors[row.tensor.format(i=index)]
        if row.variable == "NSP-Proba/kernel":
            expected = expected.T
        np.testing.assert_array_equal(np.asarray(variable), expected, err_msg=path)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes_are_cast(tmp_path, dtype):
    tensors = {name: tf.cast(value, dtype) for name, value in bert_tensors().items()}
    prefix = write_checkpoint(tmp_path, tensors=tensors)
    model = build_transformer_model(CONFIG, prefix)
    table = model.get_layer("Embedding-Token").embeddings
    expected = tf.cast(tensors["bert/embeddings/word_embeddings"], "float32")
    np.testing.assert_array_equal(np.asarray(table), expected.numpy())


def test_optimizer_state_and_other_heads_are_ignored():
    tensors = bert_tensors()
    for name in list(tensors):
        tensors[f"{name}/adam_m"] = tensors[f"{name}/adam_v"] = tensors[name]
    tensors |= {"global_step": np.array(7), "output_weights": np.zeros((3, 16)),
                "output_bias": np.zeros(3), "cls/predictions/query/kernel": np.zeros((32, 16)),
                "beta1_power": np.array(0.9)}  # fmt: skip
    load(tensors)


def test_missing_tensor():
    tensors = bert_tensors()
    for i in range(2):
        del tensors[f"bert/encoder/layer_{i}/attention/self/key/bias"]
    with pytest.raises(CheckpointMismatchError) as error:
        load(tensors)
    assert "MISSING     bert/encoder/layer_{0-1}/attention/self/key/bias" in str(error.value)
    assert "2 missing" in str(error.value)


def test_unexpected_tensor():
    tensors = bert_tensors()
    tensors["bert/encoder/layer_0/adapter/kernel"] = np.zeros((4, 5))
    with pytest.raises(
        CheckpointMismatchError, match=r"UNEXPECTED  .*adapter/kernel +checkpoint 4x5"
    ):
        load(tensors)


def test_mismatched_shape_shows_both():
    tensors = bert_tensors()
    name = "bert/encoder/layer_1/output/dense/kernel"
    tensors[name] = tensors[name][:, :8]
    with pytest.raises(CheckpointMismatchError, match=r"checkpoint 32x8, model 32x16"):
        load(tensors)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"vocab_size": 60}, "vocabulary sizes differ.*has 50 rows.*pass vocab_size=50"),
        ({"max_position_embeddings": 30}, "pass max_position_embeddings=20"),
        ({"type_vocab_size": 3}, "pass type_vocab_size=2"),
        ({"num_hidden_layers": 1}, "the file has 2 blocks.*num_hidden_layers=1; to load all, 2"),
    ],
)
def test_hints_on_sizes(change, hint):
    with pytest.raises(CheckpointMismatchError, match=hint):
        build_transformer_model({**CONFIG, **change}, bert_tensors())


def test_hint_on_a_missing_head():
    tensors = {k: v for k, v in bert_tensors().items() if not k.startswith("cls/")}
    tensors["output_weights"] = np.zeros((3, 16))
    with pytest.raises(CheckpointMismatchError, match=r"no MLM head.*\n.*fine-tuned checkpoint"):
        load(tensors, with_mlm=True)
    load(tensors)


def test_hint_on_missing_segments():
    tensors = bert_tensors()
    del tensors["bert/embeddings/token_type_embeddings"]
    with pytest.raises(CheckpointMismatchError, match=r"pass segment_vocab_size=0"):
        load(tensors)


def test_hint_on_a_wrong_family():
    electra = {k.replace("bert/", "electra/", 1): v for k, v in bert_tensors().items()}
    with pytest.raises(CheckpointMismatchError, match=r"look like those of the family 'electra'"):
        load(electra, model="bert")


def test_hint_on_a_tensorflow_2_object_checkpoint(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "bert_model.ckpt"))
    with pytest.raises(CheckpointMismatchError, match=r"TensorFlow 2 object checkpoint"):
        build_transformer_model(CONFIG, path)


def test_not_strict_warns_and_keeps_initial_values(caplog):
    tensors = bert_tensors()
    del tensors["bert/encoder/layer_0/attention/self/query/kernel"]
    with caplog.at_level(logging.WARNING, "kerasbert"):
        transformer = load(tensors, strict=False)
    assert "MISSING" in caplog.text
    layer = transformer.layers["Transformer-0-MultiHeadSelfAttention"]
    assert 0.01 < np.asarray(layer.query.kernel).std() < 0.03
    np.testing.assert_array_equal(
        np.asarray(layer.key.kernel), tensors["bert/encoder/layer_0/attention/self/key/kernel"]
    )


def test_rows_of_a_report_are_merged_by_index():
    rows = [("MISSING", f"layer_{i}/x", "n") for i in (0, 1, 2, 5)] + [("MISSING", "y", "n")]
    assert merge_indices(rows) == [("MISSING", "layer_{0-2,5}/x", "n"), ("MISSING", "y", "n")]


def test_truncated_data_leaves_one_clear_error(tmp_path):
    prefix = write_checkpoint(tmp_path)
    data = tmp_path / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"bert_model.ckpt.data-00000-of-00001"):
        build_transformer_model(CONFIG, prefix)


def test_load_weights_from_checkpoint_into_a_built_model(tmp_path):
    other = bert_tensors(seed=1)
    transformer = load(bert_tensors())
    transformer.load_weights_from_checkpoint(write_checkpoint(tmp_path, tensors=other))
    expected = build_transformer_model(CONFIG, other)(inputs())
    np.testing.assert_array_equal(np.asarray(transformer.model(inputs())), np.asarray(expected))


def test_loading_works_under_a_strategy(tmp_path):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    prefix = write_checkpoint(tmp_path)
    with strategy.scope():
        model = build_transformer_model(CONFIG, prefix, with_pool=True)
    expected = build_transformer_model(CONFIG, prefix, with_pool=True)(inputs())
    np.testing.assert_allclose(np.asarray(model(inputs())), np.asarray(expected), atol=1e-6)


def test_partitioned_checkpoint(tmp_path):
    """Several shards, as the mesh and TPU trainers write them."""
    tensors = bert_tensors()
    names = sorted(tensors)
    for part, half in enumerate((names[::2], names[1::2])):
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / f"part{part}"),
            tensor_names=half,
            shape_and_slices=[""] * len(half),
            tensors=[tensors[name] for name in half],
        )
    merged = str(tmp_path / "bert_model.ckpt")
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(tmp_path / "part0"), str(tmp_path / "part1")],
        destination_prefix=merged,
    )
    assert len(list(tmp_path.glob("bert_model.ckpt.data-*"))) == 2
    model = build_transformer_model(CONFIG, merged)
    expected = build_transformer_model(CONFIG, tensors)
    np.testing.assert_array_equal(np.asarray(model(inputs())), np.asarray(expected(inputs())))
    assert google.GoogleCheckpoint(merged).num_bytes > 0
