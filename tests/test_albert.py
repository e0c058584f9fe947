"""ALBERT's groups, namings and doubts; albert_unshared; the early albert_zh."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest

from kerasbert import ConfigError, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.checkpoints import google
from kerasbert.checkpoints.mapping import Op
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.checkpoints.source import find_checkpoint
from kerasbert.layers import FactorizedEmbedding, SharedSelfAttention
from kerasbert.models.albert import GOOGLE, HUGGINGFACE
from kerasbert.models.albert_config import (
    AlbertConfig,
    doubt_number_of_layers,
    google_groups,
)
from kerasbert.models.albert_zh import PROJECTION, AlbertZhConfig
from kerasbert.models.registry import recognize
from kerasbert.models.weights import describe, variables_by_path

CONFIG = {
    "vocab_size": 30,
    "embedding_size": 8,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
    "hidden_act": "gelu",
}
GROUPED = {**CONFIG, "num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2}
GROUP = "bert/encoder/transformer/group_0/inner_group_0"


def tensors_of(config: dict, table=None, model: str = "albert") -> dict[str, np.ndarray]:
    """Random tensors for every variable and head, under the names of a table."""
    transformer = build_transformer_model(
        config, model=model, return_keras_model=False, with_nsp=True, with_mlm=True
    )
    table = table or transformer.tables[0]
    variables = variables_by_path(transformer.layers)
    rng = np.random.default_rng(0)
    values = {
        path: (rng.standard_normal(v.shape) * 0.4 + path.endswith("gamma")).astype("f")
        for path, v in variables.items()
    }
    rows = transformer.rows(table, transformer.config, transformer.layers)
    return {
        row.tensor: values[row.variable].T if row.op is Op.TRANSPOSE else values[row.variable]
        for row in rows
        if row.variable in values
    }


TENSORS = tensors_of(CONFIG)
GROUPED_TENSORS = tensors_of(GROUPED)
EARLY = tensors_of(CONFIG, model="albert_zh")


def build(tensors=None, config=CONFIG, **options):
    tensors = TENSORS if tensors is None else tensors
    return build_transformer_model(config, tensors, **options)


def inputs() -> list[np.ndarray]:
    ids = np.random.default_rng(1).integers(1, 30, (2, 7)).astype("int32")
    ids[1, 5:] = 0
    return [ids, np.where(np.arange(7) > 3, 1, 0) * (ids > 0).astype("int32")]


def outputs(model) -> list[np.ndarray]:
    result = model(inputs())
    return [np.asarray(y) for y in (result if isinstance(result, (list, tuple)) else [result])]


def assert_same(ours, theirs):
    for one, other in zip(outputs(ours), outputs(theirs)):
        np.testing.assert_array_equal(one, other)


def assert_differ(ours, theirs):
    assert np.abs(outputs(ours)[0] - outputs(theirs)[0]).max() > 1e-4


# ---- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "groups", "expected"),
    [
        (5, 2, (0, 0, 0, 1, 1)),  # as recorded of Google's code
        (12, 1, (0,) * 12),
        (12, 12, tuple(range(12))),  # base_google_fast
        (4, 12, (0, 3, 6, 9)),  # tiny_google_fast
        (22, 22, tuple(range(22))),
    ],
)
def test_the_group_of_each_layer(layers, groups, expected):
    assert google_groups(layers, groups) == expected


def names_of_attention(model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, SharedSelfAttention)]


def test_one_block_has_bert4keras_names_and_is_one_layer():
    model = build(with_pool=True, with_mlm=True)
    names = {layer.name for layer in model.layers}
    assert {
        "Embedding-Token", "Embedding-Norm", "Embedding-Mapping",
        "Transformer-MultiHeadSelfAttention", "Transformer-MultiHeadSelfAttention-Dropout",
        "Transformer-MultiHeadSelfAttention-Add", "Transformer-MultiHeadSelfAttention-Norm",
        "Transformer-FeedForward", "Transformer-FeedForward-Norm", "Pooler-Dense", "MLM-Bias",
    } <= names  # fmt: skip
    assert names_of_attention(model) == ["Transformer-MultiHeadSelfAttention"]


def test_several_blocks_are_numbered():
    model = build(GROUPED_TENSORS, GROUPED)
    assert names_of_attention(model) == [
        f"Transformer-{i}-MultiHeadSelfAttention" for i in range(4)
    ]
    depths = [model.get_layer(name).depths for name in names_of_attention(model)]
    assert depths == [(0, 1, 2), (0, 1, 2), (3, 4), (3, 4)]


def test_the_layers_of_a_group_go_through_its_inner_blocks_in_turn():
    """The same computation by hand, block by block."""
    model = build(GROUPED_TENSORS, GROUPED)
    ids, segments = inputs()
    embedded = keras.Model(model.inputs, model.get_layer("Embedding-Mapping").output)
    x = embedded([ids, segments])
    bias = model.get_layer("Attention-Mask")(ids)
    for group in (0, 0, 0, 1, 1):
        for block in (2 * group, 2 * group + 1):
            for part in ("MultiHeadSelfAttention", "FeedForward"):
                layer = model.get_layer(f"Transformer-{block}-{part}")
                change = layer(x, attention_bias=bias) if part.startswith("Multi") else layer(x)
                x = model.get_layer(f"Transformer-{block}-{part}-Norm")(x + change)
    np.testing.assert_allclose(outputs(model)[0], np.asarray(x), atol=2e-6)


def test_variables_say_the_groups_that_a_config_leaves_out():
    assert_same(
        build(GROUPED_TENSORS, {**CONFIG, "num_hidden_layers": 5}), build(GROUPED_TENSORS, GROUPED)
    )


def test_all_sizes_but_heads_and_layers_are_read_from_the_variables():
    told = {key: GROUPED[key] for key in ("num_attention_heads", "num_hidden_layers")}
    transformer = build(GROUPED_TENSORS, told, return_keras_model=False)
    assert transformer.config == AlbertConfig.from_dict(GROUPED)


@pytest.mark.parametrize("count", range(1, 5))
@pytest.mark.slow
def test_fewer_layers_keep_the_groups_that_they_had(count, tmp_path):
    """Four of five layers in two groups are groups 0, 0, 0, 1: a rule of its own."""
    short = build(GROUPED_TENSORS, GROUPED, num_hidden_layers=count)
    depths = [short.get_layer(name).depths for name in names_of_attention(short)]
    groups = (0, 0, 0, 1, 1)[:count]
    expected = [tuple(i for i in range(count) if groups[i] == g) for g in sorted(set(groups))]
    assert depths == [d for d in expected for _ in range(2)]
    # Saved, other readers must find the same layers by Google's rule.
    short.save(tmp_path / "model.keras")
    short = keras.models.load_model(tmp_path / "model.keras")
    path = save_weights_as_checkpoint(short, tmp_path / "model.ckpt")
    assert_same(build_transformer_model(checkpoint=path), short)
    written = json.loads((tmp_path / "albert_config.json").read_text())
    assert written["num_hidden_layers"] == count
    assert written["num_hidden_groups"] == (4 if count == 4 else 1)
    assert "layer_groups" not in written


def test_more_groups_than_layers(tmp_path):
    """tiny_google_fast: of 12 groups, Google's code makes the four that it uses."""
    config = {**CONFIG, "num_hidden_layers": 4, "num_hidden_groups": 12}
    tensors = tensors_of(config)
    assert f"{GROUP}/LayerNorm/beta".replace("group_0/inner", "group_9/inner") in tensors
    assert not any("group_1/" in name for name in tensors)
    model = build(tensors, config)
    assert names_of_attention(model)[-1] == "Transformer-3-MultiHeadSelfAttention"
    # Hugging Face's code makes all twelve.
    theirs = tensors_of(config, HUGGINGFACE)
    theirs |= {
        name.replace("groups.0.", f"groups.{i}."): value
        for name, value in list(theirs.items())
        for i in (1, 2, 11)
        if "groups.0." in name
    }
    assert_same(build(theirs, config), model)
    path = save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    assert_same(build_transformer_model(checkpoint=path), model)


def test_wrong_numbers_of_groups_say_the_right_ones():
    with pytest.raises(CheckpointMismatchError, match=r"pass num_hidden_groups=2, inner_group_num"):
        build(GROUPED_TENSORS, {**GROUPED, "num_hidden_groups": 1})
    with pytest.raises(CheckpointMismatchError, match=r"inner_group_num=2\."):
        build(GROUPED_TENSORS, {**GROUPED, "inner_group_num": 3})
    other = {**TENSORS, "bert/embeddings/LayerNorm/beta": np.zeros(3)}
    with pytest.raises(CheckpointMismatchError) as error:
        build(other)
    assert "num_hidden_groups" not in str(error.value)


def test_impossible_groups_are_refused():
    for wrong, message in (
        ({"num_hidden_groups": 0}, "num_hidden_groups must be an integer of at least 1"),
        ({"inner_group_num": "two"}, "inner_group_num must be an integer"),
        ({"layer_groups": [0, 0]}, "each of the 3 layers one of the 1 groups"),
        ({"layer_groups": [0, 0, 1]}, r"one of the 1 groups, 0 to 0. Received: \(0, 0, 1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_transformer_model({**CONFIG, **wrong}, model="albert")


# ---- albert_unshared ----------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "tensors"), [(CONFIG, TENSORS), (GROUPED, GROUPED_TENSORS)])
def test_unshared_layers_start_from_the_shared_ones(config, tensors):
    unshared = build(tensors, config, model="albert_unshared")
    blocks = config["num_hidden_layers"] * config.get("inner_group_num", 1)
    assert names_of_attention(unshared) == [
        f"Transformer-{i}-MultiHeadSelfAttention" for i in range(blocks)
    ]
    assert_same(unshared, build(tensors, config))


@pytest.mark.parametrize(("config", "tensors"), [(CONFIG, TENSORS), (GROUPED, GROUPED_TENSORS)])
def test_unshared_layers_are_saved_as_one_group_each(config, tensors, tmp_path):
    model = build(tensors, config, model="albert_unshared", with_mlm=True)
    for name in names_of_attention(model):  # training would move them apart
        bias = model.get_layer(name).value.bias
        bias.assign(np.random.default_rng(len(name)).standard_normal(bias.shape))
        model.get_layer(name.replace("MultiHeadSelfAttention", "FeedForward-Norm")).gamma.assign(
            np.full(12, 1 + int(name.split("-")[1]))
        )
    path = save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    written = json.loads((tmp_path / "albert_config.json").read_text())
    assert written["num_hidden_groups"] == written["num_hidden_layers"]
    groups = {n.split("/")[3] for n in google.GoogleCheckpoint(str(path)).shapes if "group" in n}
    assert groups == {f"group_{i}" for i in range(config["num_hidden_layers"])}
    for family in (None, "albert", "albert_unshared"):
        assert_same(build_transformer_model(checkpoint=path, model=family, with_mlm=True), model)
    short = build_transformer_model(checkpoint=path, num_hidden_layers=2)
    last = 2 * config.get("inner_group_num", 1) - 1
    tap = model.get_layer(f"Transformer-{last}-FeedForward-Norm").output
    assert_same(short, keras.Model(model.inputs, tap))


def test_unshared_is_an_option_too():
    assert_same(build(share_layers=False), build(model="albert_unshared"))
    with pytest.raises(ValueError, match=r"'albert_unshared' means share_layers=False"):
        build(model="albert_unshared", share_layers=True)


def test_the_copies_that_bert4keras_writes_are_left_and_said(caplog):
    copies = {f"{n}_{i}": v + i for n, v in TENSORS.items() if n.startswith(GROUP) for i in (1, 2)}
    with caplog.at_level(logging.WARNING, "kerasbert"):
        model = build({**TENSORS, **copies}, model="albert_unshared")
    assert "all layers get the first copy" in caplog.text
    assert_same(model, build())


def test_blocks_shared_by_models_of_different_depth():
    deep = build(return_keras_model=False)
    short = build(layers=deep.layers, num_hidden_layers=2, return_keras_model=False)
    assert short.layers["Transformer-FeedForward"] is deep.layers["Transformer-FeedForward"]
    assert_same(short.model, build(num_hidden_layers=2))
    assert_same(deep.model, build())


# ---- namings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, GROUPED], ids=["one", "groups"])
@pytest.mark.parametrize("naming", ["tfhub", "huggingface", "base class"])
@pytest.mark.slow
def test_every_naming_gives_the_same_model(config, naming):
    expected = tensors_of(config)
    if naming == "tfhub":
        tensors = {f"module/{name}": value for name, value in expected.items()}
    else:
        tensors = tensors_of(config, HUGGINGFACE)
        tensors["predictions.decoder.bias"] = tensors["predictions.bias"]  # of older files
        tensors["predictions.decoder.weight"] = np.zeros((30, 8), "f")
    heads = {"with_sop": True, "with_mlm": True}
    if naming == "base class":
        tensors = {n[len("albert.") :]: v for n, v in tensors.items() if n.startswith("albert.")}
        tensors["embeddings.position_ids"] = np.arange(16)[np.newaxis]
        heads = {"with_pool": True}
    assert recognize(tensors, {}) == "albert"
    assert_same(build(tensors, config, **heads), build(expected, config, **heads))


def test_a_fine_tuned_classifier_gives_its_body():
    theirs = tensors_of(CONFIG, HUGGINGFACE)
    theirs = {n: v for n, v in theirs.items() if n.startswith("albert.")}
    theirs |= {"classifier.weight": np.zeros((3, 12), "f"), "classifier.bias": np.zeros(3, "f")}
    assert_same(build(theirs, with_pool=True), build(with_pool=True))
    with pytest.raises(CheckpointMismatchError, match=r"no MLM head"):
        build(theirs, with_mlm=True)


def test_embeddings_as_wide_as_the_hidden_states(tmp_path):
    """bojone's conversions: no projection, no embedding_size in the json. Hugging Face has one."""
    config = {key: value for key, value in CONFIG.items() if key != "embedding_size"}
    tensors = tensors_of(config)
    assert tensors["bert/embeddings/word_embeddings"].shape == (30, 12)
    model = build(tensors, config)
    assert "Embedding-Mapping" not in {layer.name for layer in model.layers}
    save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    # Google's code would take 128 for a width that is left out.
    assert json.loads((tmp_path / "albert_config.json").read_text())["embedding_size"] == 12
    projected = tensors_of({**config, "project_equal_width": True}, HUGGINGFACE)
    assert "albert.encoder.embedding_hidden_mapping_in.weight" in projected
    model = build(projected, {**config, "embedding_size": 12, "model_type": "albert"})
    assert "Embedding-Mapping" in {layer.name for layer in model.layers}
    path = save_weights_as_checkpoint(model, tmp_path / "projected.ckpt")
    assert_same(build_transformer_model(checkpoint=path, hidden_act="gelu_erf"), model)


def test_gelu_is_the_tanh_form_except_in_a_json_of_hugging_face(tmp_path):
    def form(**changes) -> str:
        model = build(config={**CONFIG, **changes})
        return model.get_layer("Transformer-FeedForward").activation

    assert form() == "gelu_tanh"
    assert form(model_type="albert") == "gelu_erf"
    assert form(model_type="albert", hidden_act="gelu_new") == "gelu_tanh"
    assert form(hidden_act="relu") == "relu"
    model = build(config={**CONFIG, "model_type": "albert"})
    path = save_weights_as_checkpoint(model, tmp_path / "model.ckpt")
    assert_same(build_transformer_model(checkpoint=path), model)
    assert_differ(model, build())


def test_a_json_alone_says_the_family():
    assert recognize((), {"model_type": "albert"}) == "albert"
    model = build_transformer_model({**CONFIG, "model_type": "albert"})
    assert names_of_attention(model) == ["Transformer-MultiHeadSelfAttention"]


def test_bert_is_told_what_it_was_given():
    for tensors in (TENSORS, tensors_of(CONFIG, HUGGINGFACE)):
        with pytest.raises(CheckpointMismatchError, match=r"try model='albert'\."):
            build(tensors, model="bert")
    with pytest.raises(CheckpointMismatchError, match=r"try model='albert_zh'\."):
        build(EARLY, model="bert")


# ---- heads and applications ---------------------------------------------------------------------


def test_sentence_order_under_both_names():
    sop, nsp = build(with_sop=True), build(with_nsp=True)
    assert sop.output_shape == (None, 2)
    assert_same(sop, nsp)
    assert sop.layers[-1].name == "NSP-Proba"
    np.testing.assert_allclose(outputs(sop)[0].sum(-1), 1, atol=1e-6)
    with pytest.raises(ValueError, match=r"with_nsp is the old name of with_sop"):
        build(with_sop=True, with_nsp=True)


@pytest.mark.parametrize("tensors", [TENSORS, EARLY], ids=["google", "early"])
def test_applications(tensors):
    ids, segments = np.array([[1, 2, 3, 4, 5]]), np.array([[0, 0, 1, 1, 1]])
    other = ids.copy()
    other[0, 3] = 9
    for application, seen in (
        ("lm", [0, 0, 0, 1, 1]),
        ("unilm", [0, 0, 0, 1, 1]),
        ("encoder", [1, 1, 1, 1, 1]),
    ):
        model = build(tensors, application=application, with_mlm="linear")
        assert model.output_shape == (None, None, 30)
        change = np.abs(np.asarray(model([other, segments])) - np.asarray(model([ids, segments])))
        assert (change.max(axis=(0, 2)) > 1e-6).tolist() == [bool(x) for x in seen]


def test_scores_are_handed_from_layer_to_layer_of_one_block():
    model = build(residual_attention_scores=True)
    assert len(names_of_attention(model)) == 1
    assert_differ(model, build())


# ---- layers that variables cannot tell ----------------------------------------------------------


def release(folder, name: str, layers: int, config_name="albert_config.json"):
    path = folder / name
    google.write(path / "albert_model.ckpt", TENSORS)
    (path / config_name).write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
    return path


def test_the_published_json_with_a_wrong_number_of_layers_is_doubted(tmp_path, caplog):
    """albert_tiny_zh_google runs 4 layers; a json that lies beside it says 1."""
    folder = release(tmp_path, "albert_tiny_zh_google", 1, "albert_config_tiny_g.json")
    with caplog.at_level(logging.WARNING, "kerasbert"):
        transformer = build_transformer_model(folder, return_keras_model=False)
    assert transformer.config.num_hidden_layers == 1  # the config's word
    assert "albert_config_tiny_g.json says num_hidden_layers=1" in caplog.text
    assert "pass num_hidden_layers=4;" in caplog.text
    for told in (4, 1):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "kerasbert"):
            transformer = build_transformer_model(
                folder, num_hidden_layers=told, return_keras_model=False
            )
        assert transformer.config.num_hidden_layers == told
        assert not caplog.records


@pytest.mark.parametrize(
    ("name", "config_name", "layers", "right"),
    [
        ("unpacked", "albert_config_tiny_g.json", 1, 4),
        ("albert_small_zh", "albert_config.json", 4, 6),
        ("albert_xlarge_zh_183k", "albert_config.json", 12, 24),
        ("albert-base-v2", "config.json", 3, 12),
        ("albert_chinese_xxlarge", "config.json", 24, 12),
        ("albert_tiny_zh_google", "albert_config.json", 4, None),
        ("albert_large_v2", "albert_config.json", 24, None),
        ("my_albert", "albert_config.json", 3, None),
        ("albert_bases", "albert_config.json", 3, None),
    ],
)
def test_names_of_releases(tmp_path, caplog, name, config_name, layers, right):
    folder = release(tmp_path, name, layers, config_name)
    for given in (folder, folder / "albert_model.ckpt"):
        files = find_checkpoint(given)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "kerasbert"):
            doubt_number_of_layers(AlbertConfig.from_dict(files.config), files)
        if right is None:
            assert not caplog.records
        else:
            assert f"pass num_hidden_layers={right};" in caplog.text
            assert f"pass num_hidden_layers={layers}," in caplog.text


def test_without_config_the_number_of_layers_is_asked_for():
    with pytest.raises(ConfigError, match=r"cannot tell num_hidden_layers.*tiny 4.*xxlarge 12"):
        build_transformer_model(checkpoint=TENSORS)
    with pytest.raises(ConfigError) as error:
        build_transformer_model(checkpoint=TENSORS, num_hidden_layers=3)
    assert "lacks num_attention_heads" in str(error.value)
    assert "cannot tell" not in str(error.value)
    told = build_transformer_model(checkpoint=TENSORS, num_hidden_layers=3, num_attention_heads=3)
    assert_same(told, build())


def test_the_depth_survives_saving_and_loading(tmp_path):
    model = build(with_mlm=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    classifier = keras.Model(again.inputs, keras.layers.Dense(2)(again.output))
    assert describe(classifier) == AlbertConfig.from_dict(CONFIG)
    path = save_weights_as_checkpoint(classifier, tmp_path / "saved.zip")
    assert_same(build_transformer_model(path, with_mlm=True), model)


def test_configs_are_written_as_they_were_read():
    config = AlbertConfig.from_dict({**GROUPED, "gap_size": 0, "layers_to_keep": []})
    written = json.loads(json.dumps(config.to_dict()))
    assert written.items() >= {**GROUPED, "gap_size": 0, "layers_to_keep": []}.items()
    assert AlbertConfig.from_dict(written) == config
    short = dataclasses.replace(config, num_hidden_layers=4, layer_groups=[0, 0, 0, 1])
    assert AlbertConfig.from_dict(json.loads(json.dumps(short.to_dict()))) == short


def test_published_fast_configs(shared):
    folder = shared / "published" / "index_files" / "albert_zh" / "configs"
    for name, groups in (("base", tuple(range(12))), ("tiny", (0, 3, 6, 9))):
        path = folder / f"albert_config_{name}_google_fast.json"
        assert AlbertConfig.from_dict(json.loads(path.read_text())).groups == groups


# ---- the early albert_zh ------------------------------------------------------------------------


def test_the_early_naming_is_found_out():
    assert recognize(EARLY, {}) == "albert_zh"
    for family in (None, "albert", "albert_zh"):
        transformer = build(EARLY, model=family, return_keras_model=False)
        assert transformer.family == "albert_zh"
    google_named = build(model="albert_zh", return_keras_model=False)
    assert google_named.family == "albert"
    by_json = build_transformer_model(
        {**CONFIG, "ln_type": "preln"}, model="albert", return_keras_model=False
    )
    assert by_json.family == "albert_zh"


def test_the_early_form_is_no_renamed_albert():
    """The same numbers under Google's names, as far as there are such names."""
    renamed = {row.variable: row.tensor for row in GOOGLE.rows}
    early = build(EARLY, return_keras_model=False)
    rows = early.rows(early.tables[0], early.config, early.layers)
    tensors = {
        renamed[row.variable.replace("Transformer-", "Transformer-{i}-")].format(i=0): EARLY[
            row.tensor
        ]
        for row in rows
        if row.tensor in EARLY
        and "PreNorm" not in row.variable
        and row.variable != "Embedding-Token/projection"
    }
    tensors["bert/embeddings/word_embeddings"] = (
        EARLY["bert/embeddings/word_embeddings"] @ (EARLY[PROJECTION])
    )
    wide = {key: value for key, value in CONFIG.items() if key != "embedding_size"}
    widened = build(tensors, wide, with_mlm="linear")  # this is how bojone converted them
    np.testing.assert_allclose(
        outputs(widened)[0], outputs(build(EARLY, with_mlm="linear"))[0], atol=1e-5
    )
    assert "bert/encoder/embedding_hidden_mapping_in/kernel" not in EARLY


def test_ln_type(tmp_path):
    before = build(EARLY, ln_type="preln", with_pool=True)
    assert "Transformer-FeedForward-PreNorm" in {layer.name for layer in before.layers}
    assert_differ(before, build(EARLY, with_pool=True))
    path = save_weights_as_checkpoint(before, tmp_path / "model.ckpt")
    written = json.loads((tmp_path / "albert_config.json").read_text())
    assert (written["ln_type"], written["embedding_size"]) == ("preln", 8)
    assert_same(build_transformer_model(checkpoint=path, with_pool=True), before)
    with pytest.raises(ConfigError, match=r"ln_type must be postln or preln. Received: 'pre'"):
        build(EARLY, ln_type="pre")


def test_what_one_block_cannot_be():
    with pytest.raises(ValueError, match=r"albert_unshared is not available for albert_zh"):
        build(EARLY, model="albert_unshared")
    with pytest.raises(ConfigError, match=r"one block for all layers.*num_hidden_groups=2"):
        build(EARLY, num_hidden_groups=2)


def test_kept_tokens_of_a_factorised_table():
    keep = [0, 3, 5, 9]
    kept = build(EARLY, keep_tokens=keep, with_mlm="linear")
    ids, segments = np.array([[1, 2, 3]]), np.array([[0, 0, 1]])
    ours = np.asarray(kept([ids, segments]))
    full = np.asarray(build(EARLY, with_mlm="linear")([np.array(keep)[ids], segments]))
    np.testing.assert_allclose(ours, full[..., keep], atol=1e-6)


def test_factorized_embedding_both_ways():
    layer = FactorizedEmbedding(5, 2, 3, mask_value=0)
    ids = np.array([[0, 1], [4, 0]])
    rows = np.asarray(layer(ids))
    table = np.asarray(layer.embeddings) @ np.asarray(layer.projection)
    np.testing.assert_allclose(rows, table[ids], atol=1e-6)
    np.testing.assert_allclose(np.asarray(layer(rows, reverse=True)), rows @ table.T, atol=1e-6)
    again = FactorizedEmbedding.from_config(layer.get_config())
    assert (again.input_dim, again.output_dim, again.projected_dim) == (5, 2, 3)
    assert np.asarray(layer.compute_mask(ids)).tolist() == [[True, True], [True, False]]


def test_early_config_round_trip():
    config = AlbertZhConfig.from_dict({**CONFIG, "ln_type": "preln", "directionality": "bidi"})
    assert AlbertZhConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
