"""ELECTRA's two networks: which json, which sizes, which names, which heads; what is refused."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from kerasbert import ConfigError, build_transformer_model, save_weights_as_checkpoint
from kerasbert.backend import keras
from kerasbert.checkpoints import google
from kerasbert.checkpoints.mapping import Op, expand
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.models.electra import ELECTRA, ELECTRAGenerator
from kerasbert.models.electra_config import KNOWN_HEADS
from kerasbert.models.registry import recognize
from kerasbert.models.weights import variables_by_path
from tests.families import electra

DISCRIMINATOR = {
    "vocab_size": 30,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 23,  # not 4 x hidden_size, as in CLUE's tiny one
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.3,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
}
GENERATOR = {**DISCRIMINATOR, "hidden_size": 6, "num_attention_heads": 2, "intermediate_size": 9}
HEADS = {"electra": "with_discriminator", "electra_generator": "with_mlm"}


def tensors_of(family, config, table: int = 0) -> dict[str, np.ndarray]:
    """Random tensors for every variable and head, under the names of one of the tables."""
    heads = {"with_mlm": True} if family is ELECTRAGenerator else {"with_discriminator": True}
    transformer = build_transformer_model(
        config, model=family, return_keras_model=False, with_pool=True, **heads
    )
    variables = variables_by_path(transformer.layers)
    rng = np.random.default_rng(0)
    tensors = {}
    for row in expand(family.tables[table].rows, config["num_hidden_layers"]):
        if row.variable in variables:
            value = rng.standard_normal(variables[row.variable].shape).astype("f") * 0.3
            tensors[row.tensor] = value.T if row.op is Op.TRANSPOSE else value
    return tensors


# As published: the embeddings are shared, what is left over is each network's own.
BOTH = {**tensors_of(ELECTRAGenerator, GENERATOR), **tensors_of(ELECTRA, DISCRIMINATOR)}
BOTH["global_step"] = np.int64(7)


def inputs(high: int = 30) -> list[np.ndarray]:
    ids = np.random.default_rng(1).integers(1, high, (2, 7)).astype("int32")
    ids[1, 5:] = 0
    return [ids, np.where(np.arange(7) > 3, 1, 0) * (ids > 0).astype("int32")]


def outputs(model, x=None) -> list[np.ndarray]:
    result = model(inputs() if x is None else x)
    return [np.asarray(y) for y in (result if isinstance(result, (list, tuple)) else [result])]


def assert_same(ours, theirs):
    for one, other in zip(outputs(ours), outputs(theirs)):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def folder(tmp_path):
    """A folder laid out as HFL's."""
    google.write(tmp_path / "electra_180g_small.ckpt", BOTH)
    for name, config in (("discriminator", DISCRIMINATOR), ("generator", GENERATOR)):
        path = tmp_path / f"small_{name}_config.json"
        path.write_text(json.dumps({**config, "model_type": "electra"}))
    return tmp_path


# ---- which network, which json ------------------------------------------------------------------


def test_each_network_takes_its_own_json(folder):
    for model, config in (("electra", DISCRIMINATOR), ("electra_generator", GENERATOR)):
        transformer = build_transformer_model(folder, model=model, return_keras_model=False)
        assert transformer.config.num_attention_heads == config["num_attention_heads"]
        assert transformer.config.hidden_size == config["hidden_size"]
        assert ("generator" in transformer.files.config_path.name) == (config is GENERATOR)


def test_the_role_is_an_option_of_the_one_name(folder):
    by_role = build_transformer_model(
        folder, model="electra", electra_role="generator", with_mlm=True
    )
    by_name = build_transformer_model(folder, model="electra_generator", with_mlm=True)
    assert by_role.output_shape == (None, None, 30)
    assert_same(by_role, by_name)
    inferred = build_transformer_model(folder, electra_role="discriminator")
    assert_same(inferred, build_transformer_model(folder, model="electra"))


def test_wrong_roles_are_refused(folder):
    with pytest.raises(ValueError, match=r"electra_role .*'discriminator' and 'generator'.*'gen'"):
        build_transformer_model(folder, model="electra", electra_role="gen")
    with pytest.raises(ValueError, match=r"must be 'generator'.*Received: 'discriminator'"):
        build_transformer_model(folder, model="electra_generator", electra_role="discriminator")


@pytest.mark.parametrize("model", HEADS)
def test_the_json_of_the_other_network_is_seen_by_the_variables(model, caplog):
    """HFL's archives may hold one json, and users pass the discriminator's for both."""
    own, other = (DISCRIMINATOR, GENERATOR) if model == "electra" else (GENERATOR, DISCRIMINATOR)
    heads = own["num_attention_heads"]
    with caplog.at_level(logging.WARNING, "kerasbert"):
        transformer = build_transformer_model(
            other, BOTH, model=model, num_attention_heads=heads, return_keras_model=False
        )
    assert "are read from the variables" in caplog.text
    expected = build_transformer_model(own, BOTH, model=model)
    assert transformer.config.hidden_dropout_prob == 0.3
    assert_same(transformer.model, expected)


def test_a_json_that_fits_neither_network_is_an_error():
    with pytest.raises(CheckpointMismatchError, match="MISMATCHED"):
        build_transformer_model({**DISCRIMINATOR, "hidden_size": 20}, BOTH, model="electra")


# ---- sizes without a json -----------------------------------------------------------------------


@pytest.mark.parametrize("model", HEADS)
def test_without_json_the_variables_say_all_but_the_heads(model):
    own = DISCRIMINATOR if model == "electra" else GENERATOR
    told = {"hidden_dropout_prob": 0.3, "num_attention_heads": own["num_attention_heads"]}
    transformer = build_transformer_model(
        checkpoint=BOTH, model=model, return_keras_model=False, **told
    )
    config = transformer.config
    assert {key: getattr(config, key) for key in own} == own


def test_unknown_numbers_of_heads_are_asked_for():
    with pytest.raises(ConfigError, match=r"lacks num_attention_heads.*num_attention_heads=\.\.\."):
        build_transformer_model(checkpoint=BOTH, model="electra")


@pytest.mark.parametrize(("hidden_size", "heads"), KNOWN_HEADS.items())
def test_known_numbers_of_heads_are_said(hidden_size, heads, caplog):
    block = "electra/encoder/layer_0/attention/output/dense/kernel"
    with caplog.at_level(logging.INFO, "kerasbert"):
        found = ELECTRA.infer_config({block: (hidden_size, hidden_size)}, {})
    assert found["num_attention_heads"] == heads
    assert f"num_attention_heads={heads} is assumed" in caplog.text
    caplog.clear()
    found = ELECTRA.infer_config({block: (hidden_size, hidden_size)}, {"num_attention_heads": 2})
    assert "num_attention_heads" not in found
    assert not caplog.text


def test_google_releases_are_known_without_json(shared):
    """The sizes that Google's code was run with, from nothing but the names and shapes."""
    entries = [e for e in electra.published() if e["family"] == "google_electra"]
    assert len(entries) == 3
    for entry in entries:
        shapes = {v["name"]: tuple(v["shape"]) for v in entry["variables"]}
        for family, key in (
            (ELECTRA, "derived_config"),
            (ELECTRAGenerator, "derived_generator_config"),
        ):
            said = dict(entry[key])
            found = family.infer_config(shapes, {})
            config = family.config_class.from_dict(found)
            assert {name: getattr(config, name) for name in said} == said


def test_a_json_without_segments_and_embedding_size_is_completed():
    """Hand-made ones lack type_vocab_size (bert4keras' note); CLUE's tiny lacks embedding_size."""
    config = {
        k: v for k, v in DISCRIMINATOR.items() if k not in ("type_vocab_size", "embedding_size")
    }
    told = build_transformer_model(DISCRIMINATOR, BOTH, model="electra")
    assert_same(build_transformer_model(config, BOTH, model="electra"), told)
    untrained = build_transformer_model(config, model="electra", return_keras_model=False)
    assert untrained.config.type_vocab_size == 2


def test_clue_tiny(shared):
    """Its variables were not recorded: its json over the names that the same code writes."""
    from tests.published import entries

    (entry,) = entries(("clue_electra",), ("tensorflow1",))
    config = {**entry["config"], "vocab_size": 40, "max_position_embeddings": 12}
    assert (config["hidden_size"], config["intermediate_size"]) == (312, 1200)
    tensors = tensors_of(ELECTRA, config)
    assert not any("embeddings_project" in name for name in tensors)
    transformer = build_transformer_model(
        config, tensors, with_discriminator=True, return_keras_model=False
    )
    assert transformer.config.head_size == 26


# ---- the generator as a share of the discriminator -----------------------------------------------


def test_googles_shares_make_the_generators_sizes():
    config = {**DISCRIMINATOR, "hidden_size": 768, "embedding_size": 768, "num_attention_heads": 12}
    config.update(generator_hidden_size=0.33333, generator_layers=0.5)
    built = ELECTRAGenerator.with_own_config(_files(config), {}).config
    assert built["hidden_size"] == 256
    assert built["num_hidden_layers"] == 1
    assert (built["intermediate_size"], built["num_attention_heads"]) == (1024, 4)
    assert "generator_hidden_size" not in built
    assert ELECTRA.with_own_config(_files(config), {}).config == config


def test_shares_keep_the_width_of_the_embeddings():
    config = {**DISCRIMINATOR, "generator_hidden_size": 0.25}
    del config["embedding_size"]
    model = build_transformer_model(config, model="electra_generator", with_mlm=True)
    assert model.get_layer("Embedding-Token").output_dim == 16
    assert model.get_layer("Embedding-Mapping").units == 4


@pytest.mark.parametrize("share", [0, 1.5, -1, True, "0.25"])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ConfigError, match=r"share of the discriminator's size.*Received"):
        build_transformer_model(
            {**DISCRIMINATOR, "generator_hidden_size": share}, model="electra_generator"
        )


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"hidden_size is not given"):
        build_transformer_model({"generator_hidden_size": 0.5}, model="electra_generator")


def _files(config):
    from kerasbert.checkpoints.source import find_checkpoint

    return find_checkpoint(config=config)


# ---- heads --------------------------------------------------------------------------------------


def test_pooling_is_the_vector_of_cls():
    pooled, replaced = outputs(
        build_transformer_model(
            DISCRIMINATOR, BOTH, model="electra", with_pool=True, with_discriminator=True
        )
    )
    (hidden,) = outputs(build_transformer_model(DISCRIMINATOR, BOTH, model="electra"))
    np.testing.assert_array_equal(pooled, hidden[:, 0])
    assert replaced.shape == (2, 7, 1)
    assert ((replaced > 0) & (replaced < 1)).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "electra", "with_pool": "tanh"}, r"no pooler: with_pool=True is the vector"),
        ({"model": "electra", "with_pool": "linear"}, r"no pooler.*'linear'"),
        ({"model": "electra_generator", "with_pool": "tanh"}, r"no pooler"),
        ({"model": "electra", "with_nsp": True}, r"next sentence prediction"),
        ({"model": "electra_generator", "with_nsp": True}, r"next sentence prediction"),
        ({"model": "electra", "with_mlm": True}, r"with_mlm needs.*model='electra_generator'"),
        ({"model": "electra", "application": "lm"}, r"application='lm' needs.*generator"),
        ({"model": "electra", "application": "unilm"}, r"application='unilm' needs.*generator"),
        ({"model": "electra_generator", "with_discriminator": True}, r"model='electra'"),
        ({"model": "electra", "application": "seq2seq"}, r"must be one of encoder\. Received"),
    ],
)
def test_what_was_not_trained_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        build_transformer_model(DISCRIMINATOR, **options)


def test_the_generator_writes_from_left_to_right():
    model = build_transformer_model(GENERATOR, BOTH, model="electra_generator", application="lm")
    ids, segments = inputs()
    changed = ids.copy()
    changed[0, 4:] = 9
    before, after = (outputs(model, [x, segments])[0] for x in (ids, changed))
    np.testing.assert_allclose(before[0, :4], after[0, :4], atol=1e-6)
    assert np.abs(before[0, 4:] - after[0, 4:]).max() > 1e-3


def test_a_smaller_vocabulary_for_the_generator():
    options = {"model": "electra_generator", "with_mlm": "linear"}
    keep = [0, 5, 6, 7, 9, 11]
    x = [np.array([[1, 2, 5]]), np.zeros((1, 3), "int32")]
    (small,) = outputs(build_transformer_model(GENERATOR, BOTH, keep_tokens=keep, **options), x)
    x[0] = np.array(keep)[x[0]]
    (full,) = outputs(build_transformer_model(GENERATOR, BOTH, **options), x)
    np.testing.assert_allclose(small, full[..., keep], atol=1e-6)


def test_gelu_means_the_erf_form():
    for model in HEADS:
        built = build_transformer_model(GENERATOR, model=model)
        assert built.get_layer("Transformer-0-FeedForward").activation == "gelu_erf"


# ---- names --------------------------------------------------------------------------------------

TABLES = {"electra": ELECTRA, "electra_generator": ELECTRAGenerator}


def as_huggingface(model: str, root: str = "electra.") -> tuple[dict, dict]:
    """The json, and one network's tensors under Hugging Face's names."""
    family = TABLES[model]
    config = DISCRIMINATOR if model == "electra" else GENERATOR
    layers = config["num_hidden_layers"]
    google_names = {row.variable: row for row in expand(family.tables[0].rows, layers)}
    tensors = {}
    for row in expand(family.tables[1].rows, layers):
        theirs = google_names[row.variable]
        if theirs.tensor in BOTH:
            value = BOTH[theirs.tensor]
            name = row.tensor.replace("electra.", root, 1)
            tensors[name] = value.T if row.op is Op.TRANSPOSE else value
    return {**config, "model_type": "electra"}, tensors


@pytest.mark.parametrize("model", HEADS)
def test_both_namings_give_the_same_model(model):
    config, tensors = as_huggingface(model)
    assert recognize(tensors, config) == model
    tensors["electra.embeddings.position_ids"] = np.arange(12)[np.newaxis]
    if model == "electra_generator":  # the tied copy of the older files
        tensors["generator_lm_head.weight"] = tensors["electra.embeddings.word_embeddings.weight"]
    head = {HEADS[model]: True}
    ours = build_transformer_model(config, tensors, **head)
    assert_same(ours, build_transformer_model(config, BOTH, model=model, **head))


def test_a_saved_base_class_is_recognized_by_its_json():
    config, tensors = as_huggingface("electra", root="")
    tensors = {k: v for k, v in tensors.items() if not k.startswith("discriminator")}
    assert "embeddings.word_embeddings.weight" in tensors
    ours = build_transformer_model(config, tensors)
    assert_same(ours, build_transformer_model(DISCRIMINATOR, BOTH, model="electra"))


def test_a_generators_file_makes_a_generator():
    config, tensors = as_huggingface("electra_generator")
    by_family = build_transformer_model(config, tensors, model="electra", with_mlm=True)
    assert by_family.output_shape[-1] == 30
    with pytest.raises(CheckpointMismatchError, match=r"try model='electra_generator'"):
        build_transformer_model(config, tensors, model="electra", electra_role="discriminator")


def test_bert_is_told_what_it_was_given():
    with pytest.raises(CheckpointMismatchError, match=r"try model='electra'\."):
        build_transformer_model(DISCRIMINATOR, BOTH, model="bert")


def test_hints_on_heads_and_networks_that_are_missing():
    alone = {k: v for k, v in BOTH.items() if not k.startswith("generator")}
    with pytest.raises(CheckpointMismatchError, match=r"holds no generator.*model='electra'"):
        build_transformer_model(GENERATOR, alone, model="electra_generator")
    headless = {k: v for k, v in BOTH.items() if "_predictions/" not in k}
    with pytest.raises(CheckpointMismatchError, match=r"without with_mlm") as error:
        build_transformer_model(GENERATOR, headless, model="electra_generator", with_mlm=True)
    assert "look like those of the family" not in str(error.value)
    with pytest.raises(CheckpointMismatchError, match=r"without with_discriminator"):
        build_transformer_model(DISCRIMINATOR, headless, model="electra", with_discriminator=True)


# ---- saving -------------------------------------------------------------------------------------


def names_of(path) -> set[str]:
    return set(google.GoogleCheckpoint(str(path)).shapes)


@pytest.mark.parametrize("model", HEADS)
def test_a_body_alone_is_saved_under_its_own_names(model, tmp_path):
    """BERT's layers have the same names: what the model was built as must not be lost."""
    config = DISCRIMINATOR if model == "electra" else GENERATOR
    built = build_transformer_model(config, BOTH, model=model)
    built.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = keras.layers.Dense(3, name="Pooler-Dense")(again.output[:, 0])  # a name of BERT's
    path = save_weights_as_checkpoint(keras.Model(again.inputs, x), tmp_path / "electra_small")
    body = {name for name in BOTH if "_predictions" not in name and name != "global_step"}
    scope = "electra/" if model == "electra" else "generator/"
    assert names_of(path) == {n for n in body if n.startswith((scope, "electra/embeddings/"))}
    assert_same(build_transformer_model(checkpoint=path), built)


def test_networks_that_share_their_embeddings(tmp_path):
    discriminator = build_transformer_model(
        DISCRIMINATOR, BOTH, model="electra", with_discriminator=True, return_keras_model=False
    )
    names = ("Embedding-Token", "Embedding-Segment", "Embedding-Position", "Embedding-Norm")
    generator = build_transformer_model(
        *(GENERATOR, BOTH, "electra_generator"),
        with_mlm=True,
        prefix="Generator-",
        layers={name: discriminator.layers[name] for name in names},
        return_keras_model=False,
    )
    inputs_ = discriminator.model.inputs
    both = keras.Model(inputs_, [discriminator.model.output, generator.model(inputs_)])
    alone = build_transformer_model(GENERATOR, BOTH, model="electra_generator", with_mlm=True)
    np.testing.assert_allclose(outputs(both)[1], outputs(alone)[0], atol=1e-6)
    own = len(discriminator.model.weights) + len(generator.model.weights)
    assert len(both.weights) == own - 5
    for transformer, scope in ((discriminator, "electra/"), (generator, "generator/")):
        path = transformer.save_weights_as_checkpoint(tmp_path / transformer.family)
        assert any(name.startswith(f"{scope}encoder/") for name in names_of(path))
