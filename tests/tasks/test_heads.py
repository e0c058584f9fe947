"""Heads of tasks: found, loaded exactly or not at all, trained, saved; new ones built."""

from __future__ import annotations

import functools
import logging

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kerasbert import build_transformer_model
from kerasbert.backend import keras, tf
from kerasbert.checkpoints.report import CheckpointMismatchError
from kerasbert.config import ConfigError
from kerasbert.models.extraction import published_tensors
from kerasbert.tasks import Task, build_task_model, load_fine_tuned, task_of
from kerasbert.tasks.head_finding import find_head, head_note, kind_of
from tests import head_cases
from tests.golden_cases import distance
from tests.head_cases import config_of, tensors_of
from tests.tiny import CONFIG, bert_tensors, inputs

SEQUENCE, TOKENS = "bert SequenceClassification", "bert TokenClassification"
ANSWER, CHOICE = "bert QuestionAnswering", "bert MultipleChoice"
RNG = np.random.default_rng(0)


def load(name: str, tensors: dict | None = None, config: dict | None = None, **options):
    """A recorded case, with other tensors, and other values in its configuration."""
    values = {**config_of(name), **(config or {})}
    values = {key: value for key, value in values.items() if value is not None}
    return load_fine_tuned(tensors_of(name) if tensors is None else tensors, values, **options)


def given_to(model, name: str) -> list[np.ndarray]:
    """A case's inputs in the model's order."""
    arrays = head_cases.arrays_of(name, "in")
    keys = {"Input-Token": "input_ids", "Input-Segment": "token_type_ids"}
    return [arrays[keys[x.name.split(":")[0]]].astype("int32") for x in model.inputs]


@functools.cache
def shapes_of(name: str) -> dict:
    """The shapes of a case's tensors."""
    return {tensor: value.shape for tensor, value in tensors_of(name).items()}


def layer_names(model) -> dict:
    return {layer.name: layer for layer in model._flatten_layers()}


# ------------------------------------------------------------------------------ what is found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (SEQUENCE, "sequence_classification"),
        (TOKENS, "token_classification"),
        (ANSWER, "question_answering"),
        ("roberta SequenceClassification", "sequence_classification"),
        ("electra SequenceClassification", "sequence_classification"),
        ("electra MultipleChoice", "multiple_choice"),
        ("xlnet SequenceClassification", "sequence_classification"),
        ("xlnet TokenClassification", "token_classification"),
        ("bert one", "sequence_classification"),
    ],
)
def test_task_is_known_by_the_names_of_tensors(name, kind):
    shapes = shapes_of(name)
    config = config_of(name)
    assert kind_of(shapes, config) == kind
    del config["architectures"]
    assert kind_of(shapes, config) == kind


def test_without_architectures_labels_of_spans_mean_tokens():
    # until 2020 models for tokens had a pooler as well
    shapes = shapes_of(SEQUENCE)
    assert kind_of(shapes, {"id2label": {"0": "O", "1": "B-PER"}}) == "token_classification"
    assert kind_of(shapes, {"id2label": {"0": "bad", "1": "good"}}) == "sequence_classification"


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"architectures": ["TFBertForTokenClassification"]}, "token_classification"),
        ({"architectures": ["BertForMaskedLM"]}, "sequence_classification"),  # out of date
        ({"init_class": "ErnieForQuestionAnswering"}, "question_answering"),
        ({"architectures": []}, "sequence_classification"),
        ({"architectures": "BertModel"}, "sequence_classification"),
    ],
)
def test_what_the_configuration_says(config, kind):
    shapes = shapes_of(SEQUENCE)
    assert kind_of(shapes, config) == kind


def test_task_that_the_caller_names():
    config = {"architectures": None}
    model = load(TOKENS, config=config, task="token_classification")
    assert task_of(model).kind == "token_classification"
    tensors = tensors_of(SEQUENCE)
    old = load(SEQUENCE, tensors, config, task="token_classification")  # its pooler is not used
    assert tuple(old.output.shape) == (None, None, 3)
    with pytest.raises(ValueError, match="task must be one of"):
        load(SEQUENCE, task="classification")
    with pytest.raises(CheckpointMismatchError, match="for task='question_answering'"):
        load(SEQUENCE, {k: v for k, v in tensors.items() if "classifier" not in k},
             task="question_answering")  # fmt: skip


def test_answers_as_paddle_names_them():
    tensors = tensors_of(ANSWER)
    renamed = {k.replace("qa_outputs", "classifier"): v for k, v in tensors.items()}
    config = {"architectures": None, "init_class": "BertForQuestionAnswering"}
    model = load(ANSWER, renamed, config)
    ours, theirs = model(given_to(model, ANSWER)), head_cases.arrays_of(ANSWER, "out")
    assert distance(ours["end_logits"], theirs["end_logits"]) < 2e-5


def test_one_layer_on_the_pooler_of_a_roberta():
    name = "roberta MultipleChoice"
    config = {"architectures": ["RobertaForSequenceClassification"]}
    model = load(name, config=config)
    pooled = build_transformer_model(config_of(name), tensors_of(name), with_pool=True)
    ids = np.array([[0, 7, 8, 2, 1]], "int32")
    weights = tensors_of(name)
    expected = np.asarray(pooled(ids)) @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert distance(model(ids), expected) < 1e-5


def test_uer_names():
    tensors = tensors_of(SEQUENCE)
    padding = np.zeros((1, 8), "f")
    segments = "bert.embeddings.token_type_embeddings.weight"
    tensors[segments] = np.concatenate([padding, tensors[segments]])
    for ours, theirs in (
        ("bert.pooler.dense", "output_layer_1"), ("classifier", "output_layer_2"),
        ("bert.", ""), ("embeddings.word_embeddings", "embedding.word_embedding"),
        ("embeddings.position_embeddings", "embedding.position_embedding"),
        ("embeddings.token_type_embeddings", "embedding.segment_embedding"),
        ("embeddings.LayerNorm", "embedding.layer_norm"),
        ("encoder.layer.", "encoder.transformer."),
        ("attention.self.query", "self_attn.linear_layers.0"),
        ("attention.self.key", "self_attn.linear_layers.1"),
        ("attention.self.value", "self_attn.linear_layers.2"),
        ("attention.output.dense", "self_attn.final_linear"),
        ("attention.output.LayerNorm", "layer_norm_1"),
        ("intermediate.dense", "feed_forward.linear_1"),
        ("output.dense", "feed_forward.linear_2"), ("output.LayerNorm", "layer_norm_2"),
    ):  # fmt: skip
        tensors = {name.replace(ours, theirs): value for name, value in tensors.items()}
    model = load(SEQUENCE, tensors, {"architectures": None})
    found, expected = model(given_to(model, SEQUENCE)), head_cases.arrays_of(SEQUENCE, "out")
    assert distance(found, expected["logits"]) < 2e-5


# ------------------------------------------------------------------------------ Google's heads


def google(**head: tuple[int, ...]) -> dict[str, np.ndarray]:
    """A tiny BERT in Google's names with further tensors of these shapes."""
    further = {name: RNG.standard_normal(shape).astype("f") for name, shape in head.items()}
    return {**bert_tensors(), **further}


def test_head_of_run_classifier():
    tensors = google(output_weights=(3, 16), output_bias=(3,))
    model = load_fine_tuned(tensors, CONFIG)
    pooled = np.asarray(build_transformer_model(CONFIG, tensors, with_pool=True)(inputs()))
    expected = pooled @ tensors["output_weights"].T + tensors["output_bias"]
    assert distance(model(inputs()), expected) < 1e-5
    assert task_of(model).labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert layer_names(model)["Task-Dropout"].rate == 0.1
    with pytest.raises(ValueError, match="the file has a head for sequence_classification"):
        load_fine_tuned(tensors, CONFIG, task="question_answering")


def test_head_of_run_squad():
    tensors = google(**{"cls/squad/output_weights": (2, 16), "cls/squad/output_bias": (2,)})
    model = load_fine_tuned(tensors, CONFIG)
    hidden = np.asarray(build_transformer_model(CONFIG, tensors)(inputs()))
    expected = hidden @ tensors["cls/squad/output_weights"].T + tensors["cls/squad/output_bias"]
    found = model(inputs())
    assert distance(found["start_logits"], expected[..., 0]) < 1e-5
    assert distance(found["end_logits"], expected[..., 1]) < 1e-5


def electra(**head: tuple[int, ...]) -> dict[str, np.ndarray]:
    renamed = {}
    for name, value in google(**head).items():
        if not name.startswith(("cls/", "bert/pooler")):
            renamed[name.replace("bert/", "electra/")] = value
    return renamed


@pytest.mark.parametrize("kind", ["sequence_classification", "token_classification"])
def test_heads_of_electra(kind):
    names = ("task_specific/chnsenticorp/dense/kernel", "task_specific/chnsenticorp/dense/bias")
    tensors = electra(**dict(zip(names, ((16, 2), (2,)))))
    task = None if kind.startswith("sequence") else kind
    model = load_fine_tuned(tensors, CONFIG, task=task)
    hidden = np.asarray(build_transformer_model(CONFIG, tensors)(inputs()))
    taken = hidden[:, 0] if task is None else hidden
    assert distance(model(inputs()), taken @ tensors[names[0]] + tensors[names[1]]) < 1e-5
    assert task_of(model).kind == kind


def test_head_of_xlnet():
    sizes = {"model": "xlnet", "with_pool": True, **CONFIG}
    del sizes["max_position_embeddings"]
    pooled = build_transformer_model(**sizes)
    _, _, tensors = published_tensors(pooled)
    scope = "model/classification_sst-2/logit"
    kernel, bias = RNG.standard_normal((16, 2)).astype("f"), np.array([1.0, 2.0], "f")
    tensors |= {f"{scope}/kernel": kernel, f"{scope}/bias": bias}
    model = load_fine_tuned(tensors, {k: v for k, v in sizes.items() if "_" in k})
    assert distance(model(inputs()), np.asarray(pooled(inputs())) @ kernel + bias) < 1e-5


def test_several_heads_of_electra():
    heads = {f"task_specific/{task}/dense/kernel": (16, 2) for task in ("mnli", "cola")}
    with pytest.raises(ValueError, match="the file has 2 heads: task_specific/mnli"):
        load_fine_tuned(electra(**heads), CONFIG)


def test_head_of_electra_for_answers_is_refused():
    names = {f"task_specific/squad/{layer}/{part}": shape for layer in ("dense", "dense_1")
             for part, shape in (("kernel", (16, 1)), ("bias", (1,)))}  # fmt: skip
    with pytest.raises(CheckpointMismatchError, match=r"UNEXPECTED .*squad/dense_1/"):
        load_fine_tuned(electra(**names), CONFIG)


# ------------------------------------------------------------------------------ exactly or not


def test_every_tensor_of_the_head_must_be_used():
    tensors = {**tensors_of(TOKENS), "classifier.crf.transitions": np.zeros((3, 3), "f")}
    with pytest.raises(CheckpointMismatchError, match=r"UNEXPECTED  classifier.crf.transitions"):
        load(TOKENS, tensors)
    assert load(TOKENS, tensors, strict=False).output_names == ["logits"]


@pytest.mark.parametrize("missing", ["classifier.bias", "bert.pooler.dense.weight"])
def test_missing_tensors(missing):
    tensors = tensors_of(SEQUENCE)
    del tensors[missing]
    with pytest.raises(CheckpointMismatchError, match=f"MISSING +{missing}"):
        load(SEQUENCE, tensors)


def test_other_shapes():
    tensors = tensors_of("electra SequenceClassification")
    tensors["classifier.dense.bias"] = np.zeros(5, "f")
    with pytest.raises(CheckpointMismatchError, match=r"MISMATCHED  classifier.dense.bias"):
        load("electra SequenceClassification", tensors)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "no head of a fine-tuned model"),
        ({"qa_outputs.linear_start.weight": np.zeros((1, 8), "f")}, "its head is qa_outputs.linea"),
        ({"classifier.weight": np.zeros(8, "f")}, "its head is classifier.weight"),
        ({"classifier.a.dense.weight": np.zeros((8, 8), "f")}, "its head is classifier.a.dense"),
    ],
)
def test_no_head_that_is_known(tensors, message):
    body = {k: v for k, v in tensors_of(TOKENS).items() if not k.startswith("classifier")}
    with pytest.raises(CheckpointMismatchError, match=message) as error:
        load(TOKENS, {**body, **tensors}, {"architectures": None})
    assert "build_transformer_model()" in str(error.value)


def test_no_weights():
    with pytest.raises(CheckpointMismatchError, match="no weights at all"):
        load_fine_tuned(None, config_of(TOKENS))


def test_families_without_heads():
    with pytest.raises(ValueError, match="no head of a fine-tuned model"):
        load(TOKENS, model="roformer_v2")


@pytest.mark.parametrize("option", ["with_pool", "with_mlm", "with_nsp", "memory_length"])
def test_options_of_other_heads(option):
    with pytest.raises(ValueError, match=f"leave out {option}"):
        load(SEQUENCE, **{option: True})
    with pytest.raises(ValueError, match="leave out application"):
        load(SEQUENCE, application="lm")
    with pytest.raises(TypeError, match="unknown keyword argument 'sequence_lenght'"):
        load(SEQUENCE, sequence_lenght=5)


@pytest.mark.parametrize(
    "config",
    [
        {"summary_type": "attn"},
        {"summary_type": ["last"]},
        {"summary_proj_to_labels": True},
        {"summary_last_dropout": "much"},
        {"summary_last_dropout": 1},
        {"summary_activation": "softsign"},
    ],
)
def test_summaries_that_are_not_built(config):
    with pytest.raises(ValueError, match=r"summary_|rate|activation"):
        load("electra MultipleChoice", config=config)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KEYS = ["architectures", "init_class", "id2label", "label2id", "problem_type", "classifier_dropout",
        "summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout",
        "hidden_act", "hidden_dropout_prob", "summary_first_dropout"]  # fmt: skip


@settings(max_examples=60)
@given(
    config=st.dictionaries(st.sampled_from(KEYS), JSON),
    name=st.sampled_from(["bert SequenceClassification", "xlnet SequenceClassification",
                          "electra MultipleChoice", "roformer SequenceClassification"]),
    shapes=st.dictionaries(
        st.sampled_from(["classifier.weight", "output_weights", "qa_outputs.weight",
                         "classifier.out_proj.weight", "task_specific/a/dense/kernel"]),
        st.lists(st.integers(0, 3), max_size=3).map(tuple),
    ),
)  # fmt: skip
@example({"architectures": None, "label2id": {"": []}}, "bert SequenceClassification", {})
def test_any_configuration_is_understood_or_refused(config, name, shapes):
    found = shapes_of(name)
    family = name.split()[0]
    try:
        head = find_head({**found, **shapes}, config, family)
    except ValueError:  # ConfigError too
        head = None
    if head is not None:
        assert head.task.num_labels == head.form.outputs({**found, **shapes})
        assert len(head.task.labels) in (0, head.task.num_labels)
    assert head_note({**found, **shapes}, config, family).startswith("it holds a head")


# ------------------------------------------------------------------------------ labels


def test_labels_are_kept_with_the_model(tmp_path):
    names = {"2": "neutral", "0": "negativ", "1": "正面"}
    model = load(SEQUENCE, config={"id2label": names})
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        task = task_of(each)
        assert task.labels == ("negativ", "正面", "neutral")
        assert task.id2label[1] == "正面"
        assert task.label2id == {"negativ": 0, "正面": 1, "neutral": 2}


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": None, "label2id": {"a": 0, "c": 2, "b": 1}}, ("a", "b", "c")),
        ({"id2label": None, "label2id": None}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"0": "a", "1": "b"}}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"0": "a", "1": "b", "3": "d"}}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": ["a", "b", "c"], "label2id": None}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"0": 5, "1": 6, "2": 7}}, ("5", "6", "7")),
    ],
)
def test_spellings_of_labels(config, labels):
    shapes = shapes_of(SEQUENCE)
    values = {**config_of(SEQUENCE), **config}
    assert find_head(shapes, values, "bert").task.labels == labels


def test_labels_of_another_number_are_doubted(caplog):
    shapes = shapes_of(SEQUENCE)
    with caplog.at_level(logging.WARNING, "kerasbert"):
        find_head(shapes, {**config_of(SEQUENCE), "id2label": {"0": "a"}}, "bert")
    assert "names 1 labels, but the file's head has 3" in caplog.text


def test_problem_type():
    regression = load("bert one")
    assert task_of(regression).is_regression
    assert isinstance(task_of(regression).loss(), keras.losses.MeanSquaredError)
    several = load(SEQUENCE, config={"problem_type": "multi_label_classification"})
    assert isinstance(task_of(several).loss(), keras.losses.BinaryCrossentropy)
    numbers = load(SEQUENCE, config={"problem_type": "regression"})
    assert task_of(numbers).is_regression
    one = load("bert one", config={"problem_type": "single_label_classification"})
    assert not task_of(one).is_regression


@pytest.mark.parametrize(
    "arguments",
    [
        ("classification", 2),
        ("sequence_classification", 0),
        ("sequence_classification", 2, ("a",)),
        ("sequence_classification", 2, (), "regresion"),
        ("question_answering", 3),
        ("multiple_choice", 2),
    ],
)
def test_impossible_tasks(arguments):
    with pytest.raises(ValueError, match="Received"):
        Task(*arguments)


def test_models_without_a_task():
    with pytest.raises(ValueError, match="no head that load_fine_tuned"):
        task_of(build_transformer_model(CONFIG))


# ------------------------------------------------------------------------------ the models


@pytest.mark.parametrize(
    "name",
    [
        TOKENS,
        ANSWER,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (SEQUENCE, CHOICE, "bert one")),
    ],
)
def test_trains_and_is_saved(name, tmp_path):
    model = load(name, config={"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    task, x = task_of(model), given_to(model, name)
    targets = {
        SEQUENCE: np.array([0, 2]),
        TOKENS: np.array([[-100, 1, 2, 0, 0, 1, 1], [-100, 1, 1, 2, -100, 0, 0]]),
        ANSWER: {"start_logits": np.array([1, 3]), "end_logits": np.array([2, 3])},
        CHOICE: np.array([1, 0]),
        "bert one": np.array([0.5, -1.0], "f"),
    }[name]
    before = outputs(model, x)
    model.compile(keras.optimizers.SGD(0.01), task.loss())
    loss = model.fit(x, targets, batch_size=2, epochs=1, verbose=0).history["loss"][0]
    assert loss == pytest.approx(expected_loss(before, targets, x[0]), rel=1e-4)
    after = outputs(model, x)
    assert expected_loss(after, targets, x[0]) < loss

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert task_of(again) == task
    for ours, theirs in zip(tf.nest.flatten(after), tf.nest.flatten(outputs(again, x))):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def outputs(model, x):
    return tf.nest.map_structure(np.asarray, model(x))


def expected_loss(logits, targets, ids) -> float:
    """The mean over labelled tokens that are no padding, texts or numbers; of answers the sum."""
    if isinstance(logits, dict):
        return sum(expected_loss(logits[key], targets[key], None) for key in logits)
    if targets.dtype.kind == "f":
        return float(np.mean((logits[:, 0] - targets) ** 2))
    if targets.ndim == 2:
        real = (targets >= 0) & (ids != 0)
        return expected_loss(logits[real], targets[real], None)
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return float(-np.mean(log_probabilities[np.arange(len(targets)), targets]))


@pytest.mark.parametrize(
    ("name", "dtype"), [(ANSWER, "mixed_bfloat16"), ("electra MultipleChoice", "mixed_float16")]
)
def test_mixed_precision(name, dtype):
    model, exact = load(name, dtype=dtype), load(name)
    x = given_to(model, name)
    for ours, theirs in zip(tf.nest.flatten(model(x)), tf.nest.flatten(exact(x))):
        assert ours.dtype == tf.float32
        assert distance(ours, theirs) < 0.2
    assert layer_names(model)["Task"].kernel.dtype == "float32"


def test_dropout_is_that_of_fine_tuning():
    def rates(name, **config):
        layers = layer_names(load(name, config=config))
        rate = getattr(
            layers.get("Pooler-Dense-Dropout", layers.get("Task-Dense-Dropout")), "rate", 0
        )
        return rate, layers["Task-Dropout"].rate  # fmt: skip

    assert rates(SEQUENCE, hidden_dropout_prob=0.3) == (0, 0.3)
    assert rates(SEQUENCE, hidden_dropout_prob=0.3, classifier_dropout=0.0) == (0, 0)
    assert rates(ANSWER) == (0, 0)
    assert rates("roberta SequenceClassification", classifier_dropout=0.4) == (0.4, 0.4)
    assert rates("electra MultipleChoice", classifier_dropout=0.4) == (0, 0.1)
    model = load(SEQUENCE, config={"classifier_dropout": 0.9, "hidden_dropout_prob": 0,
                                   "attention_probs_dropout_prob": 0})  # fmt: skip
    x = given_to(model, SEQUENCE)
    assert distance(model(x, training=True), model(x)) > 0.01
    assert distance(model(x), model(x, training=False)) == 0


def test_options_of_the_body():
    model = load(SEQUENCE, prefix="second-", with_attention_mask=True, keep_tokens=list(range(15)))
    assert [x.name.split(":")[0] for x in model.inputs] == [
        "second-Input-Token", "second-Input-Segment", "second-Input-Mask"
    ]  # fmt: skip
    transformer = load(SEQUENCE, return_keras_model=False)
    assert transformer.family == "bert"
    assert transformer.loaded.report.exact
    assert transformer.layers["logits"].task.num_labels == 3
    # two of one kind in one model
    joint = keras.Model(model.inputs, [model.output])
    assert task_of(joint).num_labels == 3


def test_choices_may_differ_in_number():
    model = load(CHOICE)
    x = given_to(model, CHOICE)
    both = np.asarray(model(x))
    first = np.asarray(model([part[:, :1] for part in x]))
    assert first.shape == (2, 1)
    np.testing.assert_allclose(first[:, 0], both[:, 0], atol=1e-6)
    assert [x.name.split(":")[0] for x in model.inputs] == ["Input-Token", "Input-Segment"]


# ------------------------------------------------------------------------------ new heads


def test_new_head_on_a_pretrained_body():
    model = build_task_model(
        "sequence_classification", bert_tensors(), CONFIG, labels=["no", "yes"]
    )
    pretrained = build_transformer_model(CONFIG, bert_tensors(), with_pool=True)
    head = layer_names(model)["logits"]
    kernel = np.asarray(head.kernel)
    assert 0.01 < kernel.std() < 0.03
    assert np.abs(kernel).max() <= 0.0401
    assert not np.asarray(head.bias).any()
    expected = np.asarray(pretrained(inputs())) @ kernel
    assert distance(model(inputs()), expected) < 1e-5
    assert task_of(model).labels == ("no", "yes")


@pytest.mark.parametrize(
    ("task", "options", "shape"),
    [
        ("token_classification", {"num_labels": 4}, (None, None, 4)),
        ("multiple_choice", {}, (None, None)),
        ("sequence_classification", {"problem_type": "regression"}, (None, 1)),
    ],
)
def test_new_heads(task, options, shape):
    model = build_task_model(task, bert_tensors(), CONFIG, **options)
    assert tuple(model.output.shape) == shape
    assert task_of(model).kind == task


def test_new_head_for_answers():
    model = build_task_model("question_answering", None, CONFIG)
    assert {name: tuple(x.shape) for name, x in model.output.items()} == {
        "start_logits": (None, None), "end_logits": (None, None)
    }  # fmt: skip


def test_parts_of_the_head_that_no_file_has_are_new():
    tensors = {k: v for k, v in tensors_of(TOKENS).items() if "classifier" not in k}
    model = build_task_model("sequence_classification", tensors, config_of(TOKENS), num_labels=2)
    kernel = np.asarray(layer_names(model)["Pooler-Dense"].kernel)
    assert 0.01 < kernel.std() < 0.03
    for family in ("electra", "roberta", "xlnet"):
        name = f"{family} SequenceClassification"
        model = build_task_model("sequence_classification", tensors_of(name), config_of(name),
                                 num_labels=5)  # fmt: skip
        assert tuple(model.output.shape) == (None, 5)
        layers = layer_names(model)
        new = {"electra": "Task-Dense", "roberta": "Pooler-Dense"}.get(family, "logits")
        for layer in (layers["logits"], layers[new]):
            assert 0.005 < np.abs(np.asarray(layer.kernel)).max() <= 0.0401


def test_new_head_of_a_family_without_a_class():
    sizes = {k: v for k, v in CONFIG.items() if k != "max_position_embeddings"}
    model = build_task_model("sequence_classification", None, sizes, "roformer_v2", num_labels=2)
    assert tuple(model.output.shape) == (None, 2)
    with pytest.raises(ValueError, match="there is no head for task='multiple_choice'"):
        build_task_model("multiple_choice", None, CONFIG, "gpt2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "sequence_classification"}, "needs num_labels=... or labels="),
        ({"task": "classification", "num_labels": 2}, "task must be one of"),
        ({"task": "classification"}, "task must be one of"),
        ({"task": "multiple_choice", "num_labels": 4}, "has 1 output"),
        ({"task": "token_classification", "labels": "BIO"}, "labels must be a list"),
        ({"task": "token_classification", "labels": ["a"], "num_labels": 2}, "a label for each"),
        ({"task": "token_classification", "num_labels": 2, "with_mlm": True}, "leave out with_mlm"),
    ],
)
def test_impossible_heads(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_task_model(config=CONFIG, **arguments)


# ------------------------------------------------------------------------------ told to others


def test_note_for_those_who_load_the_body():
    shapes = shapes_of(SEQUENCE)
    note = head_note(shapes, config_of(SEQUENCE), "bert", "sentiment")
    assert "for sequence classification with 3 label(s) (LABEL_0, LABEL_1, LABEL_2)" in note
    assert "load_fine_tuned('sentiment')" in note
    squad = {"cls/squad/output_weights": (2, 16), "cls/squad/output_bias": (2,)}
    assert "for question answering, which" in head_note(squad, None, "bert")
    assert "is not loaded" in head_note({"classifier.7.weight": (2, 2)}, {}, "bert")
    assert head_note({"bert.pooler.dense.weight": (2, 2)}, {}, "bert") is None


def test_configuration_that_contradicts_itself():
    with pytest.raises(ConfigError, match="classifier_dropout must be a rate"):
        load(SEQUENCE, config={"classifier_dropout": "0.1"})
