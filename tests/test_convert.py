"""From any format to any other: all heads, nothing lost without a word, all or nothing."""

from __future__ import annotations

import functools
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kerasbert import Tokenizer, build_transformer_model, convert
from kerasbert.backend import keras
from kerasbert.checkpoints import google
from kerasbert.checkpoints.errors import CheckpointFormatError, CheckpointNotFoundError
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.models import keras_export
from kerasbert.models.heads import heads_in, titles
from kerasbert.models.registry import find_model
from tests import huggingface_cases, tiny
from tests.test_save_huggingface import TOKENS
from tests.tiny import inputs

CONFIG = {**tiny.CONFIG, "num_hidden_layers": 1}
bert_tensors = functools.partial(tiny.bert_tensors, CONFIG)


def write_checkpoint(folder, config=CONFIG, tensors=None):
    return tiny.write_checkpoint(folder, config, tensors)


@pytest.fixture
def published(tmp_path):
    """A folder as Google publishes it, with a vocabulary and a key that means nothing here."""
    folder = tmp_path / "published"
    write_checkpoint(folder, {**CONFIG, "directionality": "bidi"})
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


def google_tensors(folder) -> dict[str, np.ndarray]:
    found = google.GoogleCheckpoint(str(folder / "bert_model.ckpt")).read()
    return {name: value.numpy() for name, value in found.items()}


def assert_equal(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype, name
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


# ---- heads --------------------------------------------------------------------------------------


def names_of(model: str, skip: tuple[str, ...] = (), table: int = 0) -> list[str]:
    rows = find_model(model)[0].tables[table].rows
    return [row.tensor.format(i=0) for row in rows if not row.variable.startswith(skip)]


@pytest.mark.parametrize(
    ("model", "skip", "expected"),
    [
        ("bert", (), {"with_pool": True, "with_nsp": True, "with_mlm": True}),
        ("bert", ("NSP-", "MLM-"), {"with_pool": True}),
        ("bert", ("Pooler-",), {"with_mlm": True}),  # a next sentence head needs the pooler
        ("bert", ("MLM-Bias", "NSP-"), {"with_pool": True}),  # a part of a head is none
        ("electra", (), {"with_discriminator": True}),
        ("electra_generator", (), {"with_mlm": True}),
        ("xlnet", (), {"with_pool": True, "application": "permutation"}),
        ("xlnet", ("Embedding-Mask", "Pooler-"), {"with_mlm": True}),
        ("xlnet", ("MLM-",), {"with_pool": True}),
        ("gpt2", (), {}),
        ("t5", (), {"with_lm": True}),
        ("t5", ("Decoder-Output-LM",), {"with_lm": False}),  # a gated one has a table of its own
        ("t5_encoder", (), {}),
    ],
)
def test_heads_in_a_file(model, skip, expected):
    names = names_of(model, skip)
    found = heads_in(names, find_model(model)[0])
    assert found == expected
    assert {row.split("/")[-1] for row in names}  # there were some


def test_heads_that_the_configuration_decides():
    t5, bert = find_model("t5")[0], find_model("bert")[0]
    names = names_of("t5", ("Decoder-Output-LM",))
    assert heads_in(names, t5, {"tie_word_embeddings": True}) == {"with_lm": True}
    told = {"tie_word_embeddings": True, "architectures": ["T5Model"]}
    assert heads_in(names, t5, told) == {"with_lm": False}
    causal = heads_in(names_of("bert", ("Pooler-",)), bert, {"is_decoder": True})
    assert causal == {"with_mlm": True, "application": "lm"}
    assert titles({"with_pool": True, "with_mlm": True}) == ["pooler", "masked language model"]
    assert titles({"application": "permutation"}) == ["language model"]


# ---- there and back -----------------------------------------------------------------------------


def test_google_to_huggingface_and_back(tmp_path, published):
    there = convert(published, tmp_path / "hf", to="huggingface")
    assert there.class_name == "BertForPreTraining" and not there.left_out and not there.notes
    assert there.heads == ["pooler", "next sentence", "masked language model"]
    assert there.files == ["config.json", "tokenizer_config.json", "vocab.txt"]
    assert set(there.written) == load_file(tmp_path / "hf" / "model.safetensors").keys()
    back = convert(tmp_path / "hf", tmp_path / "back")
    assert back.target == str(tmp_path / "back" / "bert_model.ckpt")
    assert_equal(google_tensors(tmp_path / "back"), bert_tensors())
    assert (tmp_path / "back" / "vocab.txt").read_text() == (published / "vocab.txt").read_text()
    config = json.loads((tmp_path / "back" / "bert_config.json").read_text())
    assert config == CONFIG


def test_keys_of_googles_json_stay_in_googles_format(tmp_path, published):
    convert(published, tmp_path / "copy.ckpt", to="google")
    config = json.loads((tmp_path / "bert_config.json").read_text())
    assert config == {**CONFIG, "directionality": "bidi"}
    again = convert(published, tmp_path / "copy.zip")
    assert_equal_files(again.target, published)


def assert_equal_files(archive, folder) -> None:
    assert_equal(
        {k: np.asarray(v) for k, v in _weights(archive).items()},
        {k: np.asarray(v) for k, v in _weights(folder).items()},
    )


def _weights(source) -> dict:
    from kerasbert.models.extraction import variables_by_path

    transformer = build_transformer_model(
        source, with_nsp=True, with_mlm=True, return_keras_model=False
    )
    return variables_by_path(transformer.layers)


def test_what_training_leaves_is_left_out_and_named(tmp_path):
    tensors = bert_tensors()
    slots = {f"{name}/adam_m": value for name, value in tensors.items()}
    slots["global_step"] = np.array(7)
    prefix = write_checkpoint(tmp_path / "trained", tensors={**tensors, **slots})
    report = convert(prefix, tmp_path / "clean")
    assert_equal(google_tensors(tmp_path / "clean"), tensors)
    assert report.left_out.keys() == slots.keys()
    assert set(report.left_out.values()) == {"state of the optimizer"}
    text = str(report)
    assert f"({len(slots)} in all)" in text and "note: no vocabulary" in text


def test_a_fine_tuned_classifier_of_googles(tmp_path):
    rng = np.random.default_rng(0)
    head = {"output_weights": rng.standard_normal((3, 16)).astype("f"),
            "output_bias": rng.standard_normal(3).astype("f")}  # fmt: skip
    tensors = {k: v for k, v in bert_tensors().items() if not k.startswith("cls/")} | head
    prefix = write_checkpoint(tmp_path / "tuned", tensors=tensors)
    report = convert(prefix, tmp_path / "hf", "huggingface")
    assert report.class_name == "BertForSequenceClassification"
    assert report.carried == {
        "classifier.weight": "output_weights",
        "classifier.bias": "output_bias",
    }
    theirs = load_file(tmp_path / "hf" / "model.safetensors")
    np.testing.assert_array_equal(theirs["classifier.weight"], head["output_weights"])
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    convert(tmp_path / "hf", tmp_path / "back")
    assert_equal(google_tensors(tmp_path / "back"), tensors)


def theirs_as(folder, change=lambda tensors: tensors, **config):
    """Google's tiny checkpoint as a folder of theirs, with other tensors."""
    convert(bert_tensors(), folder, "huggingface", config=CONFIG)
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    return folder


def test_tied_copies_and_constants_are_left_out_and_named(tmp_path):
    table = "bert.embeddings.word_embeddings.weight"

    def copies(tensors):
        return {**tensors, "cls.predictions.decoder.weight": tensors[table].copy(),
                "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].copy(),
                "bert.embeddings.position_ids": np.arange(20)[np.newaxis]}  # fmt: skip

    folder = theirs_as(tmp_path / "hf", copies)
    report = convert(folder, tmp_path / "again", "huggingface")
    assert report.left_out == {
        "cls.predictions.decoder.weight": "a copy of Embedding-Token/embeddings, which is written",
        "cls.predictions.decoder.bias": "a copy of MLM-Bias/bias, which is written",
        "bert.embeddings.position_ids": "a constant, computed anew",
    }


def test_an_output_layer_of_its_own_is_not_taken_for_a_copy(tmp_path):
    def untied(tensors):
        other = tensors["bert.embeddings.word_embeddings.weight"] + 1
        return {**tensors, "cls.predictions.decoder.weight": other}

    report = convert(theirs_as(tmp_path / "hf", untied), tmp_path / "google")
    assert "is not Embedding-Token" in report.left_out["cls.predictions.decoder.weight"]


def test_a_part_of_a_head_goes_with_the_rest(tmp_path):
    def without_bias(tensors):
        return {k: v for k, v in tensors.items() if k != "cls.predictions.bias"}

    report = convert(theirs_as(tmp_path / "hf", without_bias), tmp_path / "google")
    assert report.heads == ["pooler", "next sentence"]
    assert report.carried["cls/predictions/transform/dense/kernel"] == (
        "cls.predictions.transform.dense.weight"
    )
    expected = bert_tensors()
    del expected["cls/predictions/output_bias"]
    assert_equal(google_tensors(tmp_path / "google"), expected)


def test_unknown_tensors_are_an_error(tmp_path):
    folder = theirs_as(tmp_path / "hf", lambda t: {**t, "bert.adapter.weight": np.ones(3, "f")})
    with pytest.raises(CheckpointMismatchError, match=r"bert\.adapter\.weight"):
        convert(folder, tmp_path / "google")
    report = convert(folder, tmp_path / "google", strict=False)
    assert report.left_out["bert.adapter.weight"] == "Google's format has no name for it"


def test_names_that_are_also_anothers_are_noted(tmp_path):
    config = {**CONFIG, "use_task_id": True}
    model = build_transformer_model(config, model="ernie", return_keras_model=False)
    model.save_weights_as_checkpoint(tmp_path / "ernie" / "bert_model.ckpt")
    report = convert(tmp_path / "ernie", tmp_path / "copy", model="ernie")
    assert report.notes[-1] == "its names are those of 'bert': read it with model='ernie'."


def test_the_other_network_of_an_electra_file(tmp_path):
    sizes = {**CONFIG, "num_hidden_layers": 1}
    tensors = {}
    for model, head in (("electra", "with_discriminator"), ("electra_generator", "with_mlm")):
        network = build_transformer_model(
            sizes, model=model, return_keras_model=False, **{head: True}
        )
        network.save_weights_as_checkpoint(tmp_path / model / "bert_model.ckpt")
        tensors.update(google_tensors(tmp_path / model))
    google.write(tmp_path / "both" / "electra.ckpt", tensors)
    report = convert(tmp_path / "both", tmp_path / "hf", "huggingface", config=sizes)
    assert report.class_name == "ElectraForPreTraining"
    assert report.left_out["generator_predictions/dense/kernel"].startswith("of ELECTRA's other")
    report = convert(
        tmp_path / "both", tmp_path / "hf", "huggingface", config=sizes, model="electra_generator"
    )
    assert report.class_name == "ElectraForMaskedLM"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["*_seqcls", "bert_seqcls_reg", "*_tokcls", "bert_qa", "bert_mc", "xlnet_*", "mt5"]
)
def test_recorded_files_of_theirs(tmp_path, shared, name):
    """Written as they were, fine-tuned heads as well, also by way of Google's format."""
    cases = huggingface_cases.find(name)
    assert cases
    for case in cases:
        folder, theirs = case.record.parent, load_file(case.record)
        report = convert(folder, tmp_path / case.folder.name, "huggingface")
        assert_equal(load_file(tmp_path / case.folder.name / "model.safetensors"), theirs)
        assert not report.left_out
        config = json.loads((folder / "config.json").read_text())
        written = json.loads((tmp_path / case.folder.name / "config.json").read_text())
        for key in ("architectures", "id2label", "label2id", "model_type"):
            assert written.get(key) == config.get(key)
        back = convert(tmp_path / case.folder.name, tmp_path / f"{case.folder.name}.google")
        kept = len(back.written) + len(back.left_out)
        assert all("no name for it" in reason for reason in back.left_out.values())
        assert kept == len(theirs) or case.folder.name.startswith("xlnet")  # stacked there


# ---- Keras, dtypes, vocabularies ----------------------------------------------------------------


def test_weights_of_keras(tmp_path, published):
    report = convert(published, tmp_path / "bert.weights.h5", "keras")
    assert report.options == {"with_pool": True, "with_nsp": True, "with_mlm": True}
    assert {"bert_config.json", "vocab.txt"} <= set(report.files)
    model = build_transformer_model(CONFIG, **report.options)
    model.load_weights(tmp_path / "bert.weights.h5")
    expected = build_transformer_model(published, **report.options)(inputs())
    for ours, theirs in zip(model(inputs()), expected):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_whole_model_of_keras(tmp_path, published):
    convert(published, tmp_path / "bert.keras", "keras")
    again = keras.models.load_model(tmp_path / "bert.keras")
    expected = build_transformer_model(published, with_nsp=True, with_mlm=True)(inputs())
    np.testing.assert_array_equal(again(inputs())[1], expected[1])


def test_a_failing_write_of_keras_leaves_what_was_there(tmp_path, monkeypatch):
    model = build_transformer_model({**CONFIG, "num_hidden_layers": 1})
    target = tmp_path / "model.weights.h5"
    target.write_bytes(b"old")
    monkeypatch.setattr(type(model), "save_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keras_export.save_as_keras(model, target)
    assert os.listdir(tmp_path) == ["model.weights.h5"] and target.read_bytes() == b"old"
    with pytest.raises(ValueError, match=r"ends in \.weights\.h5"):
        keras_export.save_as_keras(model, tmp_path / "model.h5")


def test_a_dtype(tmp_path, published):
    convert(published, tmp_path / "half", "huggingface", dtype="float16")
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    assert {value.dtype for value in tensors.values()} == {np.dtype("float16")}
    table = bert_tensors()["bert/embeddings/word_embeddings"].astype("float16")
    np.testing.assert_array_equal(tensors["bert.embeddings.word_embeddings.weight"], table)


def test_vocabularies(tmp_path, published):
    report = convert(bert_tensors(), tmp_path / "a", config=CONFIG, vocab=published / "vocab.txt")
    assert "vocab.txt" in report.files
    tokenizer = Tokenizer.from_pretrained(tmp_path / "a")
    assert tokenizer.encode_ids("w1") == [2, 6, 3]
    (published / "vocab.txt").write_text("\n".join(TOKENS[:40]) + "\n")
    report = convert(published, tmp_path / "b")
    assert "does not fill the embedding" in report.notes[0] and "vocab.txt" in report.files
    (published / "vocab.txt").write_text("\n".join([*TOKENS, "more"]) + "\n")
    with pytest.raises(ValueError, match="51 tokens"):
        convert(published, tmp_path / "c", "huggingface")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("target", "to", "message"),
    [
        ("x", "onnx", "to must be one of google, huggingface, keras"),
        ("x.h5", "keras", r"ends in \.weights\.h5"),
        ("x.zip", "huggingface", "give a folder"),
    ],
)
def test_targets_that_do_not_fit(tmp_path, target, to, message):
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, tmp_path / target, to)


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        convert(tmp_path / "nothing", tmp_path / "x")
    (tmp_path / "bert_config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(CheckpointFormatError, match="is a configuration, not weights"):
        convert(tmp_path / "bert_config.json", tmp_path / "x")


def test_families_without_a_class_are_refused_before_anything_is_written(tmp_path):
    model = build_transformer_model(CONFIG, model="gpt2_ml", return_keras_model=False)
    model.save_weights_as_checkpoint(tmp_path / "gpt" / "bert_model.ckpt")
    with pytest.raises(ValueError, match="family 'gpt2_ml' are not written"):
        convert(tmp_path / "gpt", tmp_path / "hf", "huggingface")
    assert not (tmp_path / "hf").exists()
