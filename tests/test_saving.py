"""Back to Google's format: bit-exact, from any state that a model may be in."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from kerasbert import build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.models.weights import describe
from tests.tiny import CONFIG, bert_tensors, inputs, write_checkpoint

TENSORS = bert_tensors()
HEADS = {"with_nsp": True, "with_mlm": True}


def build(**options):
    return build_transformer_model(CONFIG, TENSORS, **options)


def assert_same_tensors(prefix, expected):
    saved = GoogleCheckpoint(prefix)
    assert set(saved.shapes) == set(expected)
    for name, value in saved.read().items():
        np.testing.assert_array_equal(value.numpy(), expected[name], err_msg=name)


@pytest.mark.smoke
def test_round_trip_is_bit_exact(tmp_path):
    save_weights_as_checkpoint(build(**HEADS), tmp_path / "out" / "bert_model.ckpt")
    assert_same_tensors(tmp_path / "out" / "bert_model.ckpt", TENSORS)
    assert json.loads((tmp_path / "out" / "bert_config.json").read_text()) == CONFIG


def test_heads_that_the_model_has_not_are_not_written(tmp_path):
    save_weights_as_checkpoint(build(), tmp_path / "bert_model.ckpt")
    body = {k: v for k, v in TENSORS.items() if not k.startswith(("cls/", "bert/pooler/"))}
    assert_same_tensors(tmp_path / "bert_model.ckpt", body)


def test_frozen_layers_are_written(tmp_path):
    model = build(**HEADS)
    model.trainable = False
    save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt")
    assert_same_tensors(tmp_path / "bert_model.ckpt", TENSORS)


def test_fine_tuned_model_with_a_head_of_its_own(tmp_path):
    body = build(with_pool=True)
    model = keras.Model(body.inputs, keras.layers.Dense(3)(body.output))
    model.compile("sgd", "mse")
    model.fit(inputs(), np.zeros((2, 3)), verbose=0)
    save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt")
    again = build_transformer_model(tmp_path, with_pool=True)
    np.testing.assert_array_equal(np.asarray(again(inputs())), np.asarray(body(inputs())))
    assert np.abs(np.asarray(again(inputs())) - np.asarray(build(with_pool=True)(inputs()))).max()


def test_model_inside_a_model_and_a_prefix(tmp_path):
    inner = build(prefix="A-", with_pool=True)
    outer_inputs = [keras.Input((None,), dtype="int32") for _ in range(2)]
    outer = keras.Model(outer_inputs, inner(outer_inputs))
    save_weights_as_checkpoint(outer, tmp_path / "bert_model.ckpt", prefix="A-")
    again = build_transformer_model(tmp_path, with_pool=True)
    np.testing.assert_array_equal(np.asarray(again(inputs())), np.asarray(inner(inputs())))
    with pytest.raises(ValueError, match=r"No transformer .* was found.*pass the same prefix"):
        save_weights_as_checkpoint(outer, tmp_path / "other.ckpt")
    assert not list(tmp_path.glob("other*"))


def test_reloaded_and_cloned_models(tmp_path):
    model = build(**HEADS)
    model.save(tmp_path / "model.keras")
    for other in (
        keras.models.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        other.set_weights(model.get_weights())
        save_weights_as_checkpoint(other, tmp_path / "out" / "bert_model.ckpt")
        assert_same_tensors(tmp_path / "out" / "bert_model.ckpt", TENSORS)


def test_zip_holds_all_and_loads(tmp_path):
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x4E00 + 45))]
    path = save_weights_as_checkpoint(build(**HEADS), tmp_path / "mine.zip", vocab=vocab)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == [
            "mine/bert_config.json",
            "mine/bert_model.ckpt.data-00000-of-00001",
            "mine/bert_model.ckpt.index",
            "mine/vocab.txt",
        ]
        assert archive.read("mine/vocab.txt").decode("utf-8").splitlines() == vocab
    model = build_transformer_model(path, **HEADS)
    for ours, expected in zip(model(inputs()), build(**HEADS)(inputs())):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.zip"]


def test_vocabulary_of_another_size_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"vocabulary has 3 tokens but the embedding 50 rows"):
        save_weights_as_checkpoint(build(), tmp_path / "bert_model.ckpt", vocab=["a", "b", "c"])
    assert not list(tmp_path.iterdir())


def test_a_failing_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    prefix = write_checkpoint(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match=r"disk full"):
        save_weights_as_checkpoint(build(num_hidden_layers=1), prefix)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_stored_dtype(tmp_path):
    model = build(dtype="bfloat16")
    save_weights_as_checkpoint(model, tmp_path / "a.ckpt")
    save_weights_as_checkpoint(model, tmp_path / "b.ckpt", dtype="float32")
    assert (
        GoogleCheckpoint(tmp_path / "a.ckpt").dtypes["bert/embeddings/word_embeddings"]
        == tf.bfloat16
    )
    assert (
        GoogleCheckpoint(tmp_path / "b.ckpt").dtypes["bert/embeddings/word_embeddings"]
        == tf.float32
    )


def test_kept_tokens_stay_kept(tmp_path):
    keep = [0, 5, 3, 9]
    model = build(keep_tokens=keep, with_mlm=True)
    save_weights_as_checkpoint(model, tmp_path / "bert_model.ckpt")
    assert describe(model).vocab_size == 4
    again = build_transformer_model(tmp_path, with_mlm=True)
    x = [np.array([[1, 2, 3]]), np.zeros((1, 3), "int32")]
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(model(x)))


@pytest.mark.parametrize(
    "change",
    [
        {"embedding_size": 8},
        {"attention_key_size": 6},
        {"attention_head_size": 3, "num_attention_heads": 5},
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_tanh", "layer_norm_eps": 1e-5},
        {"type_vocab_size": 0},
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.2},
    ],
    ids=str,
)
def test_layers_describe_their_configuration(change):
    config = {**CONFIG, **change}
    assert describe(build_transformer_model(config)).to_dict() == config


def test_transformer_objects_save_as_in_bert4keras(tmp_path):
    transformer = build(return_keras_model=False, **HEADS)
    transformer.save_weights_as_checkpoint(str(tmp_path / "bert_model.ckpt"))
    assert_same_tensors(tmp_path / "bert_model.ckpt", TENSORS)
