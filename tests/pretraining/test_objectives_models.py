"""Models to train, where they come from, and what they are published as."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from kerasbert import Tokenizer, build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.layers import GatherPositions
from pretraining.objectives import OBJECTIVES, make_objective
from tests.pretraining.objective_cases import (
    CONFIG,
    LENGTH,
    MASK,
    NAMES,
    SEP,
    VOCABULARY,
    Facts,
    build,
    records_for,
    shared,
)
from tests.tiny import bert_tensors

SEED = tf.constant([3, 4])
TOKENIZER = Tokenizer(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + i) for i in range(55))]
)
# what opens each export with all its heads
REOPENED = {
    "roberta": {"model": "bert", "with_mlm": "linear"},
    "bert": {"model": "bert", "with_mlm": "linear", "with_nsp": "linear"},
    "albert": {"model": "bert", "with_mlm": "linear", "with_nsp": "linear"},
    "unilm": {"model": "unilm", "with_mlm": "linear"},
    "simbert": {"model": "unilm", "with_mlm": "linear", "with_pool": "linear"},
    "lm": {"model": "bert", "application": "lm", "with_mlm": "linear"},
}


def outputs(model, inputs):
    given = [inputs["token_ids"], inputs["segment_ids"]][: len(model.inputs)]
    found = model(given if len(given) > 1 else given[0])
    return found if isinstance(found, (list, tuple)) else [found]


def assert_same_outputs(model, other, inputs):
    for ours, theirs in zip(outputs(model, inputs), outputs(other, inputs)):
        np.testing.assert_array_equal(ours, theirs)


# ---- exports --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REOPENED)
def test_exports_open_again(name, tmp_path):
    task = shared(name)
    (export,) = task.exports()
    assert export.name == "bert_model"
    path = export.write(tmp_path / f"{export.name}.ckpt", TOKENIZER)
    assert (tmp_path / "vocab.txt").read_text("utf-8").split("\n")[:5] == TOKENIZER.all_tokens[:5]
    again = build_transformer_model(checkpoint=path, **REOPENED[name])
    assert_same_outputs(task.transformer.model, again, task.prepare(records_for(name), SEED))


def test_both_networks_of_electra_in_one_checkpoint(tmp_path):
    task = shared("electra")
    (export,) = task.exports()
    path = export.write(tmp_path / f"{export.name}.ckpt", TOKENIZER)
    names = set(GoogleCheckpoint(path).shapes)
    for name in (
        "electra/embeddings/word_embeddings",
        "electra/encoder/layer_1/attention/self/query/kernel",
        "generator/encoder/layer_0/output/dense/bias",
        "generator/embeddings_project/kernel",
        "generator_predictions/LayerNorm/gamma",
        "generator_predictions/output_bias",
        "discriminator_predictions/dense/kernel",
        "discriminator_predictions/dense_1/bias",
    ):
        assert name in names
    assert not any(name.startswith("generator/embeddings/") for name in names)
    sizes = json.loads((tmp_path / "generator.json").read_text())
    assert sizes["hidden_size"] == 4 and sizes["embedding_size"] == 16

    inputs = task.prepare(records_for("electra"), SEED)
    for network, model, head in (
        (task.discriminator, "electra", "with_discriminator"),
        (task.generator, "electra_generator", "with_mlm"),
    ):
        again = build_transformer_model(checkpoint=tmp_path, model=model, **{head: "linear"})
        assert_same_outputs(network.model, again, inputs)


@pytest.mark.parametrize("name", ["roberta", "electra"])
def test_exports_as_an_archive(name, tmp_path):
    task = shared(name)
    (export,) = task.exports()
    path = export.write(tmp_path / "model.zip", TOKENIZER)
    with zipfile.ZipFile(path) as archive:
        assert "model/vocab.txt" in archive.namelist()
    assert [path.name for path in tmp_path.iterdir()] == ["model.zip"]
    again = make_objective(name, task.corpus, checkpoint=path)
    for ours, theirs in zip(task.model.trainable_variables, again.model.trainable_variables):
        np.testing.assert_array_equal(ours, theirs)


def test_a_wrong_vocabulary_writes_nothing(tmp_path):
    for name in ("roberta", "electra"):
        (export,) = shared(name).exports()
        with pytest.raises(ValueError, match="vocabulary"):
            export.write(tmp_path / "model.ckpt", Tokenizer(TOKENIZER.all_tokens[:-1]))
    assert not list(tmp_path.iterdir())


# ---- where models come from -----------------------------------------------------------------


def test_goes_on_from_a_checkpoint():
    config = {**CONFIG, "hidden_act": "gelu"}
    tensors = bert_tensors(config)
    task = build("bert", config=config, checkpoint=tensors)
    head = task.transformer.layers["MLM-Bias"].bias
    np.testing.assert_array_equal(head, tensors["cls/predictions/output_bias"])
    first = build(
        "roberta", config=config, checkpoint=tensors, model_options={"num_hidden_layers": 1}
    )
    assert "Transformer-1-FeedForward" not in first.transformer.layers
    np.testing.assert_array_equal(
        first.transformer.layers["Embedding-Token"].embeddings,
        tensors["bert/embeddings/word_embeddings"],
    )


FAMILIES = {
    "albert": {"embedding_size": 8},
    "electra_generator": {"embedding_size": 16},
    "nezha": {},
    "roberta": {"type_vocab_size": 1, "pad_token_id": 0, "model_type": "roberta"},
    "xlm_roberta_xl": {"type_vocab_size": 1, "pad_token_id": 0, "model_type": "xlm-roberta-xl"},
    "roformer": {},
    "roformer_v2": {},
    "rembert": {"embedding_size": 8, "output_embedding_size": 12},
    "ernie": {},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_with_a_masked_language_model(family, tmp_path):
    task = build("roberta", config={**CONFIG, **FAMILIES[family]}, model=family)
    inputs = task.prepare(records_for("roberta"), SEED)
    logits = task.run(inputs, False)
    everything = outputs(task.transformer.model, inputs)[-1]
    expected = tf.gather(everything, inputs["positions"], batch_dims=1)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    with tf.GradientTape() as tape:
        sums, _ = task.sums(inputs, True)
    found = tape.gradient(sums["mlm"], task.model.trainable_variables)
    assert all(gradient is not None for gradient in found)
    (export,) = task.exports()
    path = export.write(tmp_path / "bert_model.ckpt")
    again = build_transformer_model(checkpoint=path, model=family, with_mlm="linear")
    assert_same_outputs(task.transformer.model, again, inputs)


@pytest.mark.parametrize("family", ["gpt", "gpt2", "gpt2_ml"])
def test_families_of_language_models(family, tmp_path):
    task = build("lm", config=CONFIG, model=family)
    inputs = task.prepare(records_for("lm"), SEED)
    sums, _ = task.sums(inputs, False)
    assert np.isfinite(sums["lm"])
    everything = outputs(task.transformer.model, inputs)[-1]
    real = tf.gather(everything, inputs["positions"], batch_dims=1)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(inputs["labels"], real)
    np.testing.assert_allclose(tf.reduce_sum(losses * inputs["weights"]), sums["lm"], rtol=1e-5)
    with pytest.raises(ValueError, match="left to right"):
        build("roberta", config=CONFIG, model=family)


def test_a_language_model_does_not_look_ahead():
    model = shared("lm").transformer.model
    inputs = shared("lm").prepare(records_for("lm"), SEED)
    token_ids = inputs["token_ids"].numpy()
    later = token_ids.copy()
    later[:, 5:] = np.where(later[:, 5:] > 4, 9, later[:, 5:])
    one, other = (model([tf.constant(x), inputs["segment_ids"]]) for x in (token_ids, later))
    np.testing.assert_allclose(one[:, :5], other[:, :5], atol=1e-6)
    assert np.abs(one[:, 5:] - other[:, 5:]).max() > 1e-2


def test_a_generator_of_another_size(tmp_path):
    task = build(
        "electra",
        config={**CONFIG, "embedding_size": 8},
        options={"generator_hidden_size": 0.5, "generator_layers": 0.5},
    )
    config = task.generator.config
    assert (config.hidden_size, config.num_hidden_layers, config.embedding_size) == (8, 1, 8)
    given = build("electra", options={"generator_config": {**CONFIG, "hidden_size": 12}})
    assert given.generator.config.hidden_size == 12
    names = {layer.name for layer in given.model.layers}
    assert "Embedding-Token" in names and "Generator-Embedding-Token" not in names
    task.exports()[0].write(tmp_path / "electra_model.ckpt")
    again = build(
        "electra",
        config=None,
        checkpoint=tmp_path,
        options={"new_generator": True, "generator_layers": 1.0},
        seed=5,
    )
    assert again.generator.config.num_hidden_layers == 2
    for layer in ("Embedding-Token", "Transformer-0-FeedForward"):
        for ours, theirs in zip(
            task.discriminator.layers[layer].weights, again.discriminator.layers[layer].weights
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_memory_for_time():
    task = build("roberta", recompute=True)
    assert task.transformer.layers["Transformer-0-FeedForward"].recompute


# ---- what does not go together --------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "mlm"}, ValueError, "objective must be one of roberta, bert"),
        ({"facts": Facts("bert")}, ValueError, "reads corpora of the styles roberta, short"),
        ({"options": {"shars": [1, 1, 1]}}, TypeError, "Did you mean shares"),
        ({"masking": {"max_prediction": 3}}, TypeError, "Did you mean max_predictions"),
        ({"masking": {"mask_id": 3}}, TypeError, "unknown keyword"),
        ({"masking": {"mode": "words"}}, ValueError, "mode must be one of"),
        ({"options": {"shares": [1, 1]}}, ValueError, "three numbers"),
        ({"options": {"shares": [0, 0, 0]}}, ValueError, "not all 0"),
        ({"options": {"max_predictions": 0}}, ValueError, "1 or more"),
        ({"model_options": {"num_layers": 3}}, TypeError, "Did you mean"),
        ({"model_options": {"with_mlm": True}}, ValueError, "with_mlm is decided"),
        ({"model": "berd"}, ValueError, "Did you mean bert"),
        ({"model": "xlnet"}, ValueError, "cannot be trained here"),
        ({"model": "t5"}, ValueError, "cannot be trained here"),
        ({"facts": Facts(vocab_size=61)}, ValueError, "61 tokens, but the model has 60"),
        ({"facts": Facts(max_length=30)}, ValueError, "too long"),
        ({"config": {**CONFIG, "pad_token_id": 1}}, ValueError, "pad_token_id"),
        ({"name": "lm", "masking": {"mode": "plain"}}, ValueError, "masks nothing"),
        ({"name": "roberta", "options": {"share_of": "x"}}, ValueError, "share_of must be"),
        ({"name": "roberta", "model": "electra"}, ValueError, "electra_generator"),
        ({"name": "electra", "model": "bert"}, ValueError, "two networks"),
        ({"name": "electra", "options": {"temperature": 0}}, ValueError, "above 0"),
        (
            {"name": "electra", "options": {"new_generator": True, "generator_checkpoint": "x"}},
            ValueError,
            "only one",
        ),
        ({"name": "electra", "checkpoint": bert_tensors(CONFIG)}, ValueError, "."),
    ],
)
def test_what_does_not_go_together(arguments, error, message):
    with pytest.raises(error, match=message):
        build(**{"name": "unilm", **arguments})


def test_a_vocabulary_without_mask():
    facts = Facts(special_ids={"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": None})
    with pytest.raises(ValueError, match="no \\[MASK\\]"):
        build("roberta", facts)
    task = build("lm", facts)
    batch = records_for("lm")
    assert task.prepare(batch, SEED)["weights"].numpy().sum() == (batch["length"] - 1).numpy().sum()


def test_all_objectives_are_known():
    assert list(OBJECTIVES) == NAMES and (MASK, SEP) == (4, 3)


# ---- the layer ------------------------------------------------------------------------------


def test_gathered_positions():
    x, positions = tf.random.normal([3, LENGTH, 5]), tf.constant([[0, 3], [13, 2], [4, 4]])
    inputs = keras.Input((LENGTH, 5)), keras.Input((2,), dtype="int32")
    layer = GatherPositions(dtype="mixed_bfloat16")
    model = keras.Model(inputs, GatherPositions()(*inputs))
    expected = np.stack([x.numpy()[i, row] for i, row in enumerate(positions.numpy())])
    np.testing.assert_array_equal(model([x, positions]), expected)
    again = GatherPositions.from_config(layer.get_config())
    assert again.compute_dtype == "bfloat16" and again(x, positions).dtype == tf.bfloat16
    assert len(TOKENIZER.all_tokens) == VOCABULARY


def test_a_model_of_a_step_can_be_saved(tmp_path):
    task = shared("simbert")
    task.model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = task.prepare(records_for("simbert"), SEED)
    given = [inputs[key] for key in ("token_ids", "segment_ids", "positions")]
    for ours, theirs in zip(task.model(given), again(given)):
        np.testing.assert_array_equal(ours, theirs)
