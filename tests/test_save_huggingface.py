"""Folders for the Transformers library: names, values, configuration, vocabulary, all or nothing.

Whether that library opens them is seen by ``docs/check_huggingface_exports.py``, where it is
installed.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasbert import Tokenizer, build_transformer_model, save_as_huggingface
from kerasbert.backend import keras, tf
from kerasbert.checkpoints import safetensors_writing
from kerasbert.checkpoints.safetensors_file import SafetensorsCheckpoint
from kerasbert.models.extraction import Extracted, variables_by_path
from kerasbert.models.factory import inspect_checkpoint
from kerasbert.models.heads import heads_in
from kerasbert.models.huggingface_classes import ABSENT, ARCHITECTURES, architecture_of
from kerasbert.models.huggingface_config import huggingface_config, kept_keys
from kerasbert.models.huggingface_plan import export_target
from kerasbert.models.registry import find_model
from kerasbert.models.vocabulary_files import huggingface_files
from kerasbert.tasks import build_task_model
from kerasbert.tokenizers import SentencePieceTokenizer
from tests import huggingface_cases
from tests.families import (
    albert,
    bert,
    electra,
    ernie,
    nezha,
    rembert,
    roberta,
    roformer,
    t5,
    xlnet,
)
from tests.tiny import CONFIG, bert_tensors, inputs
from tests.tokenizers.sentencepiece_models import MODELS

BODY = {**CONFIG, "num_hidden_layers": 1}
ROBERTA = {**BODY, "type_vocab_size": 1, "pad_token_id": 1}


@pytest.fixture(scope="module")
def pretrained():
    """A BERT with all its heads."""
    return build_transformer_model(
        CONFIG, bert_tensors(), with_nsp=True, with_mlm=True, return_keras_model=False
    )


def saved(model, folder, **options) -> tuple[dict, dict[str, np.ndarray]]:
    """The configuration and the tensors of an export."""
    assert save_as_huggingface(model, folder, **options) == str(folder)
    weights = load_file(folder / "model.safetensors")
    return json.loads((folder / "config.json").read_text()), weights


def test_a_pretrained_bert(tmp_path, pretrained):
    config, tensors = saved(pretrained, tmp_path / "bert")
    expected = bert_tensors()
    assert len(tensors) == len(expected)
    query = "encoder/layer_1/attention/self/query/kernel"
    np.testing.assert_array_equal(
        tensors[f"bert.{query.replace('/', '.').replace('layer_', 'layer.')[:-6]}weight"],
        expected[f"bert/{query}"].T,
    )
    np.testing.assert_array_equal(
        tensors["cls.seq_relationship.weight"], expected["cls/seq_relationship/output_weights"]
    )
    assert not any("decoder" in name for name in tensors)  # a copy of the token table
    wanted = CONFIG | {"architectures": ["BertForPreTraining"], "model_type": "bert",
               "layer_norm_eps": 1e-12, "pad_token_id": 0, "tie_word_embeddings": True,
               "torch_dtype": "float32"}  # fmt: skip
    assert config == wanted
    assert SafetensorsCheckpoint(tmp_path / "bert" / "model.safetensors").shapes.keys() == (
        tensors.keys()
    )
    assert sorted(os.listdir(tmp_path / "bert")) == ["config.json", "model.safetensors"]


def test_the_file_says_that_it_is_laid_out_as_in_pytorch(tmp_path, pretrained):
    save_as_huggingface(pretrained, tmp_path)
    header = (tmp_path / "model.safetensors").read_bytes()[8:60]
    assert header.startswith(b'{"__metadata__":{"format":"pt"}')


@pytest.mark.parametrize(
    ("family", "parts", "causal", "name"),
    [
        ("bert", {"pooler"}, False, "Model"),
        ("bert", {}, False, "Model"),
        ("bert", {"mlm"}, False, "ForMaskedLM"),
        ("bert", {"pooler", "mlm"}, False, "ForMaskedLM"),
        ("bert", {"pooler", "nsp"}, False, "ForNextSentencePrediction"),
        ("bert", {"pooler", "nsp", "mlm"}, False, "ForPreTraining"),
        ("bert", {"mlm"}, True, "LMHeadModel"),
        ("albert", {"pooler", "nsp", "mlm"}, False, "ForPreTraining"),
        ("albert", {"pooler", "nsp"}, False, "Model"),
        ("albert", {"mlm"}, True, "ForMaskedLM"),
        ("electra", {"discriminator"}, False, "ForPreTraining"),
        ("electra_generator", {"mlm"}, False, "ForMaskedLM"),
        ("roberta", {"mlm"}, True, "ForCausalLM"),
        ("roformer", {}, False, "Model"),
        ("xlnet", {"mask vector", "mlm"}, False, "LMHeadModel"),
        ("xlnet", {}, False, "Model"),
        ("t5", {"decoder", "lm"}, False, "ForConditionalGeneration"),
        ("t5", {"decoder"}, False, "Model"),
        ("t5_encoder", {}, False, "EncoderModel"),
    ],
)
def test_the_class_that_fits_best(family, parts, causal, name):
    assert architecture_of(family).choose(parts, causal) == name


@pytest.mark.parametrize("family", sorted(ABSENT))
def test_families_without_a_class_say_why(family):
    with pytest.raises(ValueError, match=f"family '{family}' are not written .*Google"):
        architecture_of(family)


def test_every_family_that_has_their_names_has_a_class():
    for name in ARCHITECTURES:
        tables = [table.name for table in find_model(name)[0].tables]
        assert "huggingface" in tables, name


@pytest.mark.parametrize(
    ("model_type", "values", "gelu", "expected"),
    [
        ("bert", {"hidden_act": "gelu"}, "gelu_erf", {"hidden_act": "gelu"}),
        ("albert", {"hidden_act": "gelu"}, "gelu_tanh", {"hidden_act": "gelu_new"}),
        ("bert", {"hidden_act": "swish"}, "gelu_erf", {"hidden_act": "silu"}),
        ("electra", {"embedding_size": 8}, "gelu_erf", {"embedding_size": 8}),
        ("electra", {}, "gelu_erf", {"embedding_size": 16}),
        ("rembert", {"embedding_size": 8}, "gelu_erf",
         {"input_embedding_size": 8, "tie_word_embeddings": False}),
        ("xlnet", {"hidden_dropout_prob": 0.2}, "gelu_tanh",
         {"d_model": 16, "n_layer": 2, "ff_activation": "gelu_new", "dropout": 0.2}),
        ("t5", {}, "gelu_tanh", {"d_kv": 4, "feed_forward_proj": "relu", "d_ff": 32}),
        ("mt5", {"version": "mt5.1.1"}, "gelu_tanh",
         {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
        ("t5", {"hidden_act": ["gelu_erf", "linear"]}, "gelu_tanh",
         {"feed_forward_proj": "gated-gelu_python"}),
        ("t5", {"hidden_act": ["swish", "linear"]}, "gelu_tanh",
         {"feed_forward_proj": "gated-silu"}),
        ("t5", {"hidden_act": "gelu"}, "gelu_tanh", {"feed_forward_proj": "gelu_new"}),
    ],
)  # fmt: skip
def test_configurations_by_their_names(model_type, values, gelu, expected):
    sizes = {key: value for key, value in CONFIG.items() if "hidden_act" not in key}
    family = find_model({"mt5": "t5"}.get(model_type, model_type))[0]
    if family.family in ("t5", "xlnet"):
        sizes = {key: sizes[key] for key in sizes if "range" not in key and "vocab" not in key}
        sizes |= {"vocab_size": 50, "hidden_dropout_prob": 0.1}
    config = family.config_class.from_dict({**sizes, **values})
    found = huggingface_config(model_type, config, gelu, family.family)
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        ("bert", {"attention_key_size": 3}, "other sizes than hidden_size"),
        ("bert", {"attention_head_size": 3}, "attention_head_size 3"),
        ("bert", {"hidden_act": ["gelu", "linear"]}, "gated"),
        ("bert", {"hidden_act": "softmax"}, "no activation 'softmax'"),
        ("nezha", {"embedding_size": 8}, "embeddings of another width"),
        ("t5", {"scale_decoder_outputs": False}, "scales the output"),
        ("t5", {"hidden_act": ["gelu", "relu"]}, "second factor"),
    ],
)
def test_configurations_that_no_class_has(model, values, message):
    family = find_model(model)[0]
    config = family.config_class.from_dict({**CONFIG, "type_vocab_size": 0, **values})
    with pytest.raises(ValueError, match=message):
        huggingface_config(model, config, "gelu_erf", model)


def test_keys_of_their_json_stay_and_others_do_not():
    theirs = {"model_type": "bert", "id2label": {"0": "bad"}, "transformers_version": "4.0"}
    assert kept_keys(theirs) == {"id2label": {"0": "bad"}}
    assert kept_keys({"directionality": "bidi"}) == {}


TINY = [  # what is not among the quick ones
    *(*bert.TINY[:2], *albert.TINY[:3:2], *electra.TINY[::2], *ernie.TINY, *nezha.TINY[:2]),
    *(*rembert.TINY, *roberta.TINY, roformer.TINY[1], t5.TINY[0], t5.TINY[2], xlnet.TINY[1]),
]
QUICK = [bert.TINY[2], albert.TINY[1], electra.TINY[1], roformer.TINY[0], xlnet.TINY[2]]


def round_trip(folder, options: dict) -> None:
    """Saves a model with random weights, loads the folder, and compares variable by variable."""
    options = {**options, "hidden_act": "gelu_erf"} if "t5" not in options["model"] else options
    transformer = build_transformer_model(
        {key: value for key, value in options.items() if key not in OPTIONS},
        return_keras_model=False,
        **{key: value for key, value in options.items() if key in OPTIONS},
    )
    before = variables_by_path(transformer.layers)
    rng = np.random.default_rng(3)
    for variable in before.values():
        variable.assign(rng.standard_normal(variable.shape))
    save_as_huggingface(transformer, folder)
    found = inspect_checkpoint(checkpoint=folder)
    heads = heads_in(found.source.shapes, found.family, found.files.config)
    again = build_transformer_model(checkpoint=folder, return_keras_model=False, **heads)
    after = variables_by_path(again.layers)
    moved = {"Transformer-QueryBias": "Transformer-0-QueryBias"}  # of an XLNet that ties them
    for path, variable in before.items():
        layer, _, rest = path.partition("/")
        other = after.get(path, after.get(f"{moved.get(layer, layer)}/{rest}"))
        assert other is not None, path
        np.testing.assert_array_equal(np.asarray(other), np.asarray(variable), err_msg=path)


OPTIONS = {
    *("model", "with_pool", "with_nsp", "with_sop", "with_mlm", "with_lm", "with_discriminator"),
    *("application", "electra_role", "custom_position_ids", "memory_length"),
}


@pytest.mark.parametrize("options", QUICK, ids=lambda options: options["model"])
def test_round_trips_are_exact(tmp_path, options):
    round_trip(tmp_path / "model", options)


@pytest.mark.slow
@pytest.mark.parametrize("at", range(len(TINY)))
def test_round_trips_of_all_families_are_exact(tmp_path, at):
    round_trip(tmp_path / "model", TINY[at])


def golden(name: str):
    return next(iter(huggingface_cases.find(name)))


IGNORED = {
    *("transformers_version", "dtype", "torch_dtype", "is_decoder", "dense_act_fn"),
    *("is_gated_act", "scale_decoder_outputs", "tie_word_embeddings", "d_head", "untie_r"),
}


def check_golden(case, folder) -> None:
    """What is read from a file of theirs is written as it was, name by name and bit by bit."""
    theirs = load_file(case.record)
    config = json.loads((case.record.parent / "config.json").read_text())
    family = inspect_checkpoint(checkpoint=case.record).family
    options = heads_in(theirs, family, config)
    transformer = build_transformer_model(
        checkpoint=case.record, return_keras_model=False, **options
    )
    written, tensors = saved(transformer, folder)
    assert tensors.keys() == theirs.keys()
    for name, value in theirs.items():
        assert value.dtype == tensors[name].dtype, name
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)
    keys = (config.keys() | written.keys()) - IGNORED
    assert {key: written.get(key) for key in keys} == {key: config.get(key) for key in keys}


@pytest.mark.parametrize("name", ["bert_decoder", "ernie_task", "roformer_emb", "t5"])
def test_their_files_are_written_as_they_were(tmp_path, name):
    check_golden(golden(name), tmp_path / "model")


@pytest.mark.slow
def test_all_their_recorded_files_are_written_as_they_were(tmp_path, shared):
    fine_tuned = ("seqcls", "tokcls", "_qa", "_mc", "deberta", "seqcls_reg")  # test_convert.py
    cases = [c for c in huggingface_cases.find("*") if not any(w in c.name for w in fine_tuned)]
    assert len(cases) >= 24
    for case in cases:
        check_golden(case, tmp_path / case.folder.name)


def test_a_factorised_bert_is_a_rembert_there(tmp_path):
    factorised = build_transformer_model(
        BODY, embedding_size=8, with_mlm="linear", return_keras_model=False
    )
    config, tensors = saved(factorised, tmp_path)
    assert config["architectures"] == ["RemBertForMaskedLM"]
    table = tensors["rembert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(tensors["cls.predictions.decoder.weight"], table)
    again = build_transformer_model(tmp_path, with_mlm="linear")
    np.testing.assert_allclose(again(inputs()), factorised.model(inputs()), atol=1e-6)


def test_what_their_classes_have_besides_changes_nothing(tmp_path):
    model = build_transformer_model(BODY, model="albert", type_vocab_size=0)
    config, tensors = saved(model, tmp_path)
    assert config["type_vocab_size"] == 1
    assert not tensors["embeddings.token_type_embeddings.weight"].any()
    mapping = tensors["encoder.embedding_hidden_mapping_in.weight"]
    np.testing.assert_array_equal(mapping, np.eye(16))
    again = build_transformer_model(tmp_path)
    tokens, segments = inputs()
    np.testing.assert_allclose(again([tokens, 0 * segments]), model(tokens), atol=1e-6)


def test_groups_that_are_counted_otherwise_there():
    albert = find_model("albert")[0]
    sizes = {**CONFIG, "num_hidden_layers": 18}
    for groups, written in ((14, 18), (3, 3)):
        config = albert.config_class.from_dict({**sizes, "num_hidden_groups": groups})
        found, _ = export_target(Extracted(albert, {}, config, {}))
        assert found.config.num_hidden_groups == written


def test_options_that_no_class_has_are_refused(tmp_path):
    folder = tmp_path / "none"
    for options, message in (
        ({"residual_attention_scores": True}, "with residual_attention_scores"),
        ({"shared_segment_embeddings": True}, "with shared_segment_embeddings"),
    ):
        model = build_transformer_model(BODY, **options)
        with pytest.raises(ValueError, match=message):
            save_as_huggingface(model, folder)
    condition = keras.Input((4,))
    model = build_transformer_model(
        BODY, layer_norm_cond=condition, additional_input_layers=condition
    )
    with pytest.raises(ValueError, match=r"nothing like .*condition"):
        save_as_huggingface(model, folder)
    roberta_new = build_transformer_model(
        ROBERTA, model="roberta", hidden_act="gelu_tanh", with_mlm=True
    )
    with pytest.raises(ValueError, match="MLM head of Roberta is always gelu"):
        save_as_huggingface(roberta_new, folder)
    with pytest.raises(ValueError, match="model_type='albert' is not the graph"):
        save_as_huggingface(build_transformer_model(BODY), folder, config={"model_type": "albert"})
    assert not folder.exists()


def test_a_model_type_of_the_same_graph(tmp_path):
    model = build_transformer_model(ROBERTA, model="roberta", with_pool=True)
    config, _ = saved(model, tmp_path, config={"model_type": "xlm-roberta", "id": 7})
    assert (config["architectures"], config["id"]) == (["XLMRobertaModel"], 7)


# ---- heads of tasks -----------------------------------------------------------------------------


def with_layer(units: int, activation=None, dropout: bool = False, config=BODY, **options):
    """A tiny model with a dense layer of its own on top."""
    encoder = build_transformer_model(config, **options)
    x = keras.layers.Dropout(0.1)(encoder.output) if dropout else encoder.output
    return keras.Model(encoder.inputs, keras.layers.Dense(units, activation, name="Head")(x))


def test_a_classifier(tmp_path):
    model = with_layer(3, "softmax", dropout=True, with_pool=True)
    config, tensors = saved(model, tmp_path, config={"id2label": {"0": "a", "1": "b", "2": "c"}})
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"]["2"] == "c"
    kernel = model.get_layer("Head").kernel
    np.testing.assert_array_equal(tensors["classifier.weight"], np.asarray(kernel).T)
    assert "bert.pooler.dense.weight" in tensors


def test_a_tagger_a_reader_and_a_chooser(tmp_path):
    tagger = with_layer(2)
    config, tensors = saved(tagger, tmp_path / "tagger")
    assert config["architectures"] == ["BertForTokenClassification"]
    assert tensors["classifier.weight"].shape == (2, 16)
    assert config["label2id"] == {"LABEL_0": 0, "LABEL_1": 1}
    config, tensors = saved(tagger, tmp_path / "reader", task="question_answering")
    assert config["architectures"] == ["BertForQuestionAnswering"] and "id2label" not in config
    assert tensors["qa_outputs.weight"].shape == (2, 16)
    chooser = with_layer(1, with_pool=True)
    config, _ = saved(chooser, tmp_path / "chooser", task="multiple_choice")
    assert config["architectures"] == ["BertForMultipleChoice"]
    config, _ = saved(chooser, tmp_path / "number")
    assert config["problem_type"] == "regression"


def test_the_two_layers_of_other_families(tmp_path):
    model = with_layer(3, config=ROBERTA, model="roberta", with_pool=True)
    config, tensors = saved(model, tmp_path / "roberta")
    assert config["architectures"] == ["RobertaForSequenceClassification"]
    pooler = np.asarray(model.get_layer("Pooler-Dense").kernel).T
    np.testing.assert_array_equal(tensors["classifier.dense.weight"], pooler)
    assert tensors["classifier.out_proj.weight"].shape == (3, 16)
    assert not any("pooler" in name for name in tensors)

    encoder = build_transformer_model(BODY, model="electra", with_pool=True)
    x = keras.layers.Dense(16, "gelu", name="First")(encoder.output)
    model = keras.Model(encoder.inputs, keras.layers.Dense(2, name="Last")(x))
    config, tensors = saved(model, tmp_path / "electra")
    assert config["architectures"] == ["ElectraForSequenceClassification"]
    first = np.asarray(model.get_layer("First").kernel).T
    np.testing.assert_array_equal(tensors["classifier.dense.weight"], first)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("sequence_classification", "BertForSequenceClassification"),
        ("token_classification", "BertForTokenClassification"),
        ("question_answering", "BertForQuestionAnswering"),
        ("multiple_choice", "BertForMultipleChoice"),
    ],
)
def test_the_heads_of_tasks(tmp_path, task, name):
    named = task.endswith("classification")
    labels = {"labels": ["good", "bad", "so"]} if named else {}
    model = build_task_model(task, config=BODY, **labels)
    config, tensors = saved(model, tmp_path)
    assert config["architectures"] == [name]
    assert config.get("id2label") == ({"0": "good", "1": "bad", "2": "so"} if named else None)
    head = "qa_outputs" if task == "question_answering" else "classifier"
    layer = model.get_layer("logits") if named else _found(model, "Task")
    np.testing.assert_array_equal(tensors[f"{head}.weight"], np.asarray(layer.kernel).T)


def _found(model, name: str):
    return next(layer for layer in model._flatten_layers() if layer.name == name)


def test_a_model_inside_a_model_and_a_prefix(tmp_path):
    encoder = build_transformer_model(BODY, prefix="Big-", with_pool=True)
    tokens = [keras.Input((None,), dtype="int32") for _ in range(2)]
    model = keras.Model(tokens, keras.layers.Dense(4, name="Head")(encoder(tokens)))
    config, tensors = saved(model, tmp_path, prefix="Big-")
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert tensors["classifier.bias"].shape == (4,)


def test_other_layers_on_top_are_left_out_and_named(tmp_path, caplog):
    encoder = build_transformer_model(BODY)
    x = keras.layers.Conv1D(4, 3, name="Convolution")(encoder.output)
    model = keras.Model(encoder.inputs, keras.layers.Dense(2, name="Head")(x))
    config, tensors = saved(model, tmp_path)
    assert config["architectures"] == ["BertModel"]
    assert "only the transformer is written" in caplog.text and "Convolution" in caplog.text
    assert "embeddings.word_embeddings.weight" in tensors  # a base class has no root
    with pytest.raises(ValueError, match="task='token_classification' needs a model that ends"):
        save_as_huggingface(model, tmp_path, task="token_classification")


def test_tasks_that_do_not_fit(tmp_path):
    model = with_layer(3)
    for task, message in (
        ("sequence_classification", "is on all tokens"),
        ("question_answering", "has 2 output"),
        ("translation", "task must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            save_as_huggingface(model, tmp_path / "none", task=task)
    assert not (tmp_path / "none").exists()


def test_a_linear_pooler_is_said_to_be_another_there(tmp_path, caplog):
    save_as_huggingface(build_transformer_model(BODY, with_pool="linear"), tmp_path)
    assert "the pooler is 'linear' here and always tanh there" in caplog.text


# ---- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_stored_dtype(tmp_path, pretrained, dtype):
    save_as_huggingface(pretrained, tmp_path, dtype=dtype)
    read = SafetensorsCheckpoint(tmp_path / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    value = read.read([name])[name]
    assert value.dtype == tf.as_dtype(dtype)
    expected = tf.cast(bert_tensors()["bert/embeddings/word_embeddings"], dtype)
    np.testing.assert_array_equal(tf.cast(value, "float32"), tf.cast(expected, "float32"))
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == dtype
    with pytest.raises(ValueError, match="floating"):
        save_as_huggingface(pretrained, tmp_path, dtype="int8")


def test_shards_have_an_index(tmp_path, pretrained):
    save_as_huggingface(pretrained, tmp_path, max_shard_size="10KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2 and not (tmp_path / "model.safetensors").exists()
    assert all(path.stat().st_size < 12_000 for path in shards)
    assert set(index["weight_map"].values()) == {path.name for path in shards}
    assert index["metadata"]["total_size"] == sum(v.nbytes for v in bert_tensors().values())
    again = build_transformer_model(
        tmp_path, with_nsp=True, with_mlm=True, return_keras_model=False
    )
    for path, variable in variables_by_path(pretrained.layers).items():
        other = variables_by_path(again.layers)[path]
        np.testing.assert_array_equal(np.asarray(other), np.asarray(variable))


@pytest.mark.parametrize(
    ("given", "size"),
    [(None, 5 * 10**9), (100, 100), ("2GB", 2 * 10**9), ("3MiB", 3 * 2**20), ("7 kb", 7000)],
)
def test_sizes(given, size):
    assert safetensors_writing.parse_size(given) == size


@pytest.mark.parametrize("given", [0, "0GB", "-1", "2TB", "much", True, 1.5])
def test_sizes_that_are_none(given):
    with pytest.raises(ValueError, match="max_shard_size must be"):
        safetensors_writing.parse_size(given)


def test_an_old_folder_keeps_other_files_and_no_old_weights(tmp_path, pretrained):
    save_as_huggingface(pretrained, tmp_path, max_shard_size="10KB")
    (tmp_path / "tf_model.h5").write_bytes(b"other")
    save_as_huggingface(pretrained, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors", "tf_model.h5"]
    save_as_huggingface(pretrained, tmp_path, max_shard_size="100KB")
    assert "model.safetensors" in os.listdir(tmp_path)  # all in one file after all


@pytest.mark.parametrize("there", [False, True])
def test_a_failing_write_leaves_what_was_there(tmp_path, pretrained, monkeypatch, there):
    folder = tmp_path / "model"
    if there:
        save_as_huggingface(pretrained, folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(safetensors_writing, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_as_huggingface(pretrained, folder, dtype="float16")
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    assert sorted(os.listdir(tmp_path)) == (["model"] if there else [])


def test_a_file_is_no_folder(tmp_path, pretrained):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        save_as_huggingface(pretrained, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# ---- vocabularies -------------------------------------------------------------------------------

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(45))]


def test_wordpiece_files(tmp_path, pretrained):
    save_as_huggingface(pretrained, tmp_path, vocab=TOKENS)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "BertTokenizer"
    assert settings["do_lower_case"] is True and settings["model_max_length"] == 20
    assert (tmp_path / "vocab.txt").read_text().splitlines() == TOKENS
    assert Tokenizer.from_pretrained(tmp_path).encode_ids("w3 w4") == [2, 8, 9, 3]


def test_a_cased_vocabulary_and_words(tmp_path, pretrained):
    cased = [*TOKENS[:-1], "Word"]
    save_as_huggingface(pretrained, tmp_path, vocab=Tokenizer(cased, pre_tokenize="jieba"))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "RoFormerTokenizer"  # it cuts into words first
    save_as_huggingface(pretrained, tmp_path, vocab=cased)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["do_lower_case"] is False


def test_tokens_that_a_vocabulary_lacks_are_not_named(tmp_path, pretrained):
    tokens = [token for token in TOKENS if token != "[MASK]"]
    save_as_huggingface(pretrained, tmp_path, vocab=tokens)
    assert "mask_token" not in json.loads((tmp_path / "tokenizer_config.json").read_text())


def test_a_vocabulary_that_is_too_large(tmp_path, pretrained):
    with pytest.raises(ValueError, match="51 tokens, but the model's token embedding only 50"):
        save_as_huggingface(pretrained, tmp_path / "none", vocab=[*TOKENS, "more"])
    assert not (tmp_path / "none").exists()


def test_a_part_of_a_sentencepiece_model_cannot_be_written(tmp_path, pretrained):
    part = SentencePieceTokenizer(MODELS["rembert"], "rembert", keep_tokens=range(50))
    with pytest.raises(ValueError, match="keep_tokens"):
        save_as_huggingface(pretrained, tmp_path / "none", vocab=part)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("flavour", "expected"),
    [
        ("albert", {"tokenizer_class": "AlbertTokenizer", "cls_token": "[CLS]"}),
        ("xlm_roberta", {"tokenizer_class": "XLMRobertaTokenizer", "sep_token": "</s>"}),
        ("t5", {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "extra_ids": 100}),
        ("xlnet", {"tokenizer_class": "XLNetTokenizer", "keep_accents": False}),
    ],
)
def test_sentencepiece_files(flavour, expected):
    tokenizer = SentencePieceTokenizer(MODELS[flavour], flavour)
    files = huggingface_files(tokenizer, tokenizer.vocab_size, 30)
    settings = json.loads(files["tokenizer_config.json"])
    assert expected.items() <= settings.items() and settings["model_max_length"] == 30
    assert MODELS[flavour] in files.values()
    named = [value for name, value in settings.items() if name.endswith("_token")]
    assert named and all(token in tokenizer.token_dict for token in named)
    assert "sep_token" not in settings or flavour != "t5"


@pytest.mark.parametrize("token", ["first", "last"])
def test_xlnets_summary_says_which_token_it_is_of(tmp_path, token):
    from kerasbert.tasks import build_task_model

    config = {"vocab_size": 30, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 20}
    model = build_task_model(
        "sequence_classification",
        config={**config, "summary_type": token, "summary_use_proj": True},
        model="xlnet",
        num_labels=3,
    )
    save_as_huggingface(model, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["summary_type"] == token
