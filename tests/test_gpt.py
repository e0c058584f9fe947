"""What is special of GPT, GPT-2 and GPT2_ML: options, names, inference, what tells them apart."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from kerasbert import ConfigError, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.checkpoints.google import GoogleCheckpoint
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.models.gpt import GPT, GPT2, GPT2_ML, GPTConfig
from kerasbert.models.weights import describe
from tests.families import gpt as family
from tests.golden_cases import HERE
from tests.tiny import bert_tensors

FOLDER = HERE / "bert4keras"
FAMILIES = {"gpt": GPT, "gpt2": GPT2, "gpt2_ml": GPT2_ML}
CASES = {case.folder.name: case for case in family.golden_cases() if HERE in case.folder.parents}


def tensors(case: str) -> dict[str, np.ndarray]:
    checkpoint = GoogleCheckpoint(FOLDER / case / "model.ckpt")
    return {name: value.numpy() for name, value in checkpoint.read().items()}


def config(case: str) -> dict:
    return json.loads((FOLDER / case / "bert_config.json").read_text())


def ids(*rows) -> np.ndarray:
    return np.array(rows, "int32")


def run(model, token_ids, segment: int = 0) -> np.ndarray:
    token_ids = np.asarray(token_ids)
    if len(model.inputs) == 1:
        return np.asarray(model(token_ids))
    return np.asarray(model([token_ids, np.full_like(token_ids, segment)]))


# ---- the graph ----------------------------------------------------------------------------------


def test_cases_of_all_three_are_committed():
    assert set(CASES) == {"gpt", "gpt_shared", "gpt2", "gpt2_keep", "gpt2_ml"}


@pytest.mark.parametrize("name", CASES)
def test_layers_have_the_recorded_names(name):
    record = json.loads(CASES[name].record.read_text())
    options = {"model": record["build_kwargs"]["model"]}
    for option in ("shared_segment_embeddings", "custom_position_ids"):
        options[option] = record["build_kwargs"].get(option)
    model = build_transformer_model(FOLDER / name, **options)
    ours = [layer.name for layer in model.layers]
    assert set(record["layers"]) <= set(ours)
    added = set(ours) - set(record["layers"])
    assert not [layer for layer in added if "Transformer" in layer or "Embedding" in layer]
    assert [tensor.name.split(":")[0] for tensor in model.inputs] == [
        name.split(":")[0] for name in record["inputs"]
    ]


@pytest.mark.parametrize("name", ["gpt2", "gpt2_ml"])
def test_another_epsilon_would_be_seen(name):
    assert family.compare(CASES[name], layer_norm_eps=1e-6) > 10 * CASES[name].atol


@pytest.mark.parametrize("name", FAMILIES)
def test_gelu_is_the_form_of_bert4keras(name):
    model = build_transformer_model(FOLDER / name)
    assert model.get_layer("Transformer-0-FeedForward").activation == "gelu_erf"
    model = build_transformer_model(FOLDER / name, hidden_act="gelu_new")
    assert model.get_layer("Transformer-0-FeedForward").activation == "gelu_tanh"


@pytest.mark.smoke
@pytest.mark.parametrize("name", FAMILIES)
def test_probabilities_by_default_and_logits_on_demand(name):
    token_ids = ids([5, 6, 7, 8])
    probabilities = run(build_transformer_model(FOLDER / name), token_ids)
    logits = run(build_transformer_model(FOLDER / name, final_activation="linear"), token_ids)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert np.abs(logits).max() > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_see_the_left_alone(name):
    model = build_transformer_model(FOLDER / name, final_activation="linear")
    first, second = run(model, ids([5, 6, 7, 8])), run(model, ids([5, 6, 9, 8]))
    np.testing.assert_array_equal(first[:, :2], second[:, :2])
    assert (np.abs(first - second)[:, 2:].max(-1) > 1e-3).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_right_padding_leaves_real_tokens_unchanged(name):
    model = build_transformer_model(FOLDER / name, final_activation="linear")
    short, long = run(model, ids([5, 6, 7])), run(model, ids([5, 6, 7, 0, 0]))
    np.testing.assert_allclose(long[:, :3], short, rtol=1e-6, atol=5e-6)


def test_left_padding_is_not_seen():
    model = build_transformer_model(FOLDER / "gpt2", final_activation="linear")
    with_mask = build_transformer_model(
        FOLDER / "gpt2", final_activation="linear", with_attention_mask=True
    )
    token_ids = ids([5, 0, 6, 7])
    expected = np.asarray(with_mask([token_ids, ids([1, 0, 1, 1])]))
    np.testing.assert_allclose(run(model, token_ids), expected, atol=1e-6)
    unmasked = np.asarray(with_mask([token_ids, ids([1, 1, 1, 1])]))
    assert np.abs(unmasked - expected)[:, 2:].max() > 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_kept_and_compound_tokens_select_the_tied_table(name):
    keep = [0, 7, 3, 20]
    whole = build_transformer_model(FOLDER / name, final_activation="linear")
    small = build_transformer_model(
        FOLDER / name, final_activation="linear", keep_tokens=keep, compound_tokens=[[1, 3]]
    )
    positions = ids([1, 2, 3])
    expected = run(whole, np.array(keep)[positions])[..., keep]
    ours = run(small, positions)
    np.testing.assert_allclose(ours[..., :4], expected, atol=1e-6)
    np.testing.assert_allclose(ours[..., 4], expected[..., [1, 3]].mean(-1), atol=1e-6)


def test_speakers_are_tokens_of_the_shared_table():
    """A segment's vector is that of the token with its id."""
    model = build_transformer_model(
        FOLDER / "gpt_shared", shared_segment_embeddings=True, final_activation="linear"
    )
    table = model.get_layer("Embedding-Token")
    embedded = keras.Model(model.inputs, model.get_layer("Embedding-Token-Segment").output)
    token_ids, speakers = ids([5, 6, 7]), ids([8, 9, 9])
    expected = np.asarray(table(token_ids)) + np.asarray(table(speakers))
    np.testing.assert_allclose(embedded([token_ids, speakers]), expected, atol=1e-6)


def test_positions_beyond_the_table_and_as_an_input():
    model = build_transformer_model(FOLDER / "gpt2", hierarchical_position=True)
    assert np.isfinite(run(model, np.full((1, 30), 5))).all()
    model = build_transformer_model(FOLDER / "gpt2", custom_position_ids=True)
    plain = run(build_transformer_model(FOLDER / "gpt2"), ids([5, 6, 7]))
    np.testing.assert_allclose(model([ids([5, 6, 7]), ids([0, 1, 2])]), plain, atol=1e-6)


# ---- options that are refused -------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("application", ["encoder", "unilm"])
def test_other_applications_are_refused(name, application):
    with pytest.raises(ValueError, match=rf"'{name}' must be one of lm. Received: '{application}'"):
        build_transformer_model(FOLDER / name, application=application)


def test_the_application_may_be_said():
    said = build_transformer_model(FOLDER / "gpt2", application="lm")
    unsaid = build_transformer_model(FOLDER / "gpt2")
    np.testing.assert_array_equal(run(said, ids([5, 6])), run(unsaid, ids([5, 6])))


@pytest.mark.parametrize("option", ["with_mlm", "with_pool", "with_nsp"])
def test_heads_of_bert_are_refused(option):
    with pytest.raises(TypeError, match=rf"unknown keyword argument '{option}'.*final_activation"):
        build_transformer_model(FOLDER / "gpt", **{option: True})
    with pytest.raises(TypeError, match=rf"GPT got an unknown keyword argument '{option}'"):
        GPT(GPTConfig.from_dict(config("gpt")), **{option: True})


def test_a_factorised_embedding_is_refused():
    with pytest.raises(ConfigError, match=r"embedding_size .* must be hidden_size, 24.* 12"):
        build_transformer_model(config("gpt2"), model="gpt2", embedding_size=12)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"Unknown activation 'sofmax'. Did you mean softmax"):
        build_transformer_model(FOLDER / "gpt", final_activation="sofmax")


# ---- configuration ------------------------------------------------------------------------------


def test_json_spellings_of_openai():
    values = {"n_vocab": 50, "n_ctx": 20, "n_positions": 20, "n_embd": 24, "n_head": 4,
              "n_layer": 2, "n_inner": None, "activation_function": "gelu_new",
              "layer_norm_epsilon": 1e-5, "resid_pdrop": 0.2, "attn_pdrop": 0.3}  # fmt: skip
    built = build_transformer_model(values, tensors("gpt2"), return_keras_model=False)
    assert isinstance(built, GPT2)
    assert built.config.hidden_dropout_prob == 0.2
    assert built.config.attention_probs_dropout_prob == 0.3
    assert built.activation == "gelu_tanh"
    assert built.config.intermediate_size == 40


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_are_read_from_the_variables(name, caplog):
    with caplog.at_level(logging.INFO, "kerasbert"):
        built = build_transformer_model(
            {"num_attention_heads": 4}, tensors(name), return_keras_model=False
        )
    assert type(built) is FAMILIES[name]
    assert f"model={name!r} inferred" in caplog.text
    wanted = config(name)
    for size in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size",
                 "max_position_embeddings"):  # fmt: skip
        assert getattr(built.config, size) == wanted[size]
    assert built.config.type_vocab_size == (2 if name == "gpt" else 0)
    assert built.config.layer_norm_eps == (1e-12 if name == "gpt" else 1e-5)
    expected = run(build_transformer_model(FOLDER / name), ids([5, 6, 7]))
    np.testing.assert_array_equal(run(built.model, ids([5, 6, 7])), expected)


@pytest.mark.parametrize("name", ["gpt2", "gpt2_ml"])
def test_segments_of_a_copied_json_mean_nothing(name):
    model = build_transformer_model({**config(name), "type_vocab_size": 2}, tensors(name))
    assert len(model.inputs) == 1


def test_a_json_alone_names_gpt2():
    values = {**config("gpt2"), "model_type": "gpt2"}
    assert isinstance(build_transformer_model(values, return_keras_model=False), GPT2)


def test_gpt_without_a_segment_table():
    values, arrays = config("gpt"), tensors("gpt")
    del arrays["gpt/embeddings/token_type_embeddings"], values["type_vocab_size"]
    assert len(build_transformer_model(values, arrays).inputs) == 1
    shared = build_transformer_model({**values, "shared_segment_embeddings": True}, arrays)
    assert len(shared.inputs) == 2
    with pytest.raises(CheckpointMismatchError, match=r"no segment table: .*segment_vocab_size=0"):
        build_transformer_model({**values, "type_vocab_size": 2}, arrays)


# ---- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "held"), [("gpt", "gpt2"), ("gpt2", "gpt"), ("gpt2", "gpt2_ml"), ("gpt2_ml", "gpt2")]
)
def test_the_variables_decide_which_gpt_it_is(said, held, caplog):
    with caplog.at_level(logging.INFO, "kerasbert"):
        built = build_transformer_model(FOLDER / held, model=said, return_keras_model=False)
    assert type(built) is FAMILIES[held]
    assert f"model={said!r}: the variables are those of {held!r}" in caplog.text


def test_a_subclass_stays_what_it_is():
    class Mine(GPT):
        pass

    assert Mine.select(GoogleCheckpoint(FOLDER / "gpt2" / "model.ckpt").shapes, {}) is Mine


@pytest.mark.parametrize("name", ["gpt", "gpt_shared", "gpt2", "gpt2_ml"])
def test_saved_files_have_the_same_names_and_bits(name, tmp_path):
    shared = {"shared_segment_embeddings": True} if name == "gpt_shared" else {}
    model = build_transformer_model(FOLDER / name, **shared)
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    saved, expected = GoogleCheckpoint(tmp_path / "model.ckpt").read(), tensors(name)
    assert saved.keys() == expected.keys()
    for tensor, value in expected.items():
        np.testing.assert_array_equal(saved[tensor].numpy(), value)
    again = build_transformer_model(tmp_path)
    np.testing.assert_array_equal(run(again, ids([5, 6, 7]), 1), run(model, ids([5, 6, 7]), 1))


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_settings_are_those_of_the_layers(name, tmp_path):
    options = {
        "layer_norm_eps": 1e-12 if name != "gpt" else 1e-5,
        "hidden_act": "gelu_tanh",
        "hidden_dropout_prob": 0.3,
    }
    built = build_transformer_model(FOLDER / name, return_keras_model=False, **options)
    assert describe(built) == built.config
    save_weights_as_checkpoint(built.model, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path, return_keras_model=False)
    assert again.config == built.config


@pytest.mark.parametrize("name", FAMILIES)
def test_first_blocks_alone(name):
    model = build_transformer_model(FOLDER / name, num_hidden_layers=1)
    names = {layer.name for layer in model.layers}
    assert "Transformer-0-FeedForward" in names
    assert "Transformer-1-FeedForward" not in names


@pytest.mark.parametrize("name", FAMILIES)
def test_a_json_with_too_few_blocks_is_told(name):
    last = config(name)["num_hidden_layers"] - 1
    message = rf"the file has {last + 1} blocks, the config says {last}"
    with pytest.raises(CheckpointMismatchError, match=message):
        build_transformer_model({**config(name), "num_hidden_layers": last}, tensors(name))


def test_blocks_of_two_digits_have_their_published_names(tmp_path):
    sizes = {**family.SIZES, "num_hidden_layers": 11}
    model = build_transformer_model(model="gpt2_ml", **sizes)
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    shapes = GoogleCheckpoint(tmp_path / "model.ckpt").shapes
    assert {"newslm/layer09/output/bias", "newslm/layer10/output/bias"} <= shapes.keys()
    again = build_transformer_model(tmp_path)
    np.testing.assert_array_equal(run(again, ids([5, 6])), run(model, ids([5, 6])))


def test_optimizer_state_of_a_training_run_is_left_out():
    arrays = tensors("gpt2_ml")
    arrays["newslm/layer00/output/kernel/adafactor_vr"] = np.zeros(40, "f")
    arrays["global_step"] = np.int64(7)
    assert len(build_transformer_model(config("gpt2_ml"), arrays).inputs) == 1


def test_other_families_are_told():
    with pytest.raises(CheckpointMismatchError, match=r"those of the family 'bert'"):
        build_transformer_model(None, bert_tensors(), model="gpt", num_attention_heads=4,
                                **{k: v for k, v in family.SIZES.items()
                                   if k != "num_attention_heads"})  # fmt: skip
    with pytest.raises(CheckpointMismatchError, match=r"those of the family 'gpt2'") as error:
        build_transformer_model(config("gpt2"), tensors("gpt2"), model="bert")
    assert "no variable has a published name" not in str(error.value)


def test_one_missing_variable_is_an_error():
    arrays = tensors("gpt2")
    del arrays["gpt/output/LayerNorm/gamma"]
    with pytest.raises(CheckpointMismatchError, match=r"gpt/output/LayerNorm/gamma") as error:
        build_transformer_model(config("gpt2"), arrays)
    assert "no variable has a published name" not in str(error.value)


@pytest.mark.parametrize("name", ["gpt2", "gpt2_ml"])
def test_a_gated_network_is_saved_as_well(name, tmp_path):
    model = build_transformer_model(
        model=name, **{**family.SIZES, "hidden_act": ["gelu", "linear"]}
    )
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    again = build_transformer_model(tmp_path)
    np.testing.assert_array_equal(run(again, ids([5, 6])), run(model, ids([5, 6])))
