"""Losses, metrics and gradients: against plain arithmetic and against Google's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert.backend import tf, variable_path
from kerasbert.layers.recompute import seeded
from kerasbert.tasks import InBatchSimilarityLoss
from pretraining.objectives import electra
from tests.pretraining.objective_cases import (
    CONFIG,
    LENGTH,
    LOSSES,
    NAMES,
    VOCABULARY,
    build,
    numbers,
    records_for,
    shared,
)

SEED = tf.constant([3, 4])


def total_loss(task, inputs, training):
    sums, metrics = task.sums(inputs, training)
    weights = task.weights(inputs)
    parts = [
        task.loss_weights[name] * tf.math.divide_no_nan(sums[name], weights[name]) for name in sums
    ]
    return tf.add_n(parts), metrics


def gradients(task, inputs, seed=(1, 2)):
    variables = task.model.trainable_variables
    with seeded(tf.constant(seed)), tf.GradientTape() as tape:
        loss, metrics = total_loss(task, inputs, True)
    return loss, metrics, [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]


def entropies(labels, logits):
    """Cross-entropy of every label, in float64."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(-1))
    return log_sums - np.take_along_axis(shifted, np.asarray(labels)[..., None], -1)[..., 0]


def logits_of_all_tokens(task, inputs):
    given = [inputs["token_ids"], inputs["segment_ids"]]
    outputs = task.transformer.model(given)
    return outputs if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_kinds(name):
    task = shared(name)
    inputs = task.prepare(records_for(name), SEED)
    sums, metrics = task.sums(inputs, False)
    weights = task.weights(inputs)
    assert sorted(sums) == sorted(weights) == sorted(task.loss_weights) == LOSSES[name]
    assert sorted(metrics) == sorted(task.metric_names)
    for value in (*sums.values(), *weights.values(), *sum(metrics.values(), ())):
        assert value.dtype == tf.float32 and value.shape == () and np.isfinite(value)
    for right, out_of in metrics.values():
        assert 0 <= right <= out_of
    assert task.name == name and task.rows == (2 if name == "simbert" else 1)
    assert task.splittable == (name != "simbert")


@pytest.mark.parametrize("name", ["roberta", "bert", "albert", "unilm", "simbert", "lm"])
def test_sums_are_those_of_plain_arithmetic(name):
    task = shared(name)
    inputs = task.prepare(records_for(name), SEED)
    sums, metrics = numbers(task.sums(inputs, False))
    weights = numbers(task.weights(inputs))
    *pooled, logits = numbers(logits_of_all_tokens(task, inputs))
    rows = numbers(inputs)
    chosen = np.take_along_axis(logits, rows["positions"][..., None], 1)
    losses = entropies(rows["labels"], chosen) * rows["weights"]
    right = (chosen.argmax(-1) == rows["labels"]) * rows["weights"]
    masks = {LOSSES[name][0]: np.ones(len(losses), bool)}
    if name == "unilm":
        masks = {
            task_name: rows["task"] == i for i, task_name in enumerate(("mlm", "lm", "seq2seq"))
        }
    for loss, mask in masks.items():
        np.testing.assert_allclose(sums[loss], losses[mask].sum(), rtol=1e-5)
        assert weights[loss] == rows["weights"][mask].sum() > 0
        assert metrics[f"{loss}_accuracy"][0] == right[mask].sum()
        assert metrics[f"{loss}_accuracy"][1] == weights[loss]
    if name in ("bert", "albert"):
        question = LOSSES[name][1]
        expected = entropies(rows["pair_labels"], pooled[0])
        np.testing.assert_allclose(sums[question], expected.sum(), rtol=1e-5)
        found = (pooled[0].argmax(-1) == rows["pair_labels"]).sum()
        assert metrics[f"{question}_accuracy"] == (found, len(expected))
        assert weights[question] == len(expected)
    if name == "simbert":
        vectors = pooled[0] / np.linalg.norm(pooled[0], axis=1, keepdims=True)
        similarities = 30 * vectors @ vectors.T
        np.fill_diagonal(similarities, -1e9)
        partner = np.arange(len(vectors)) ^ 1
        expected = entropies(partner, similarities)
        np.testing.assert_allclose(sums["similarity"], expected.sum(), rtol=1e-5)
        found = (similarities.argmax(1) == partner).sum()
        assert metrics["similarity_accuracy"] == (found, len(vectors))


@pytest.mark.parametrize("name", ["roberta", "unilm", "simbert", "lm"])
def test_logits_are_those_of_all_tokens_at_the_chosen_ones(name):
    task = shared(name)
    inputs = task.prepare(records_for(name), SEED)
    given = [inputs[key] for key in ("token_ids", "segment_ids", "positions")]
    chosen = task.model(given)
    chosen = chosen[-1] if name == "simbert" else chosen
    everything = logits_of_all_tokens(task, inputs)[-1]
    expected = tf.gather(everything, inputs["positions"], batch_dims=1)
    np.testing.assert_allclose(chosen, expected, atol=1e-5)
    assert chosen.shape == (*inputs["positions"].shape, VOCABULARY) and chosen.dtype == tf.float32


@pytest.mark.parametrize("name", NAMES)
def test_the_vocabulary_is_scored_at_chosen_positions_only(name):
    task = shared(name)
    inputs = task.prepare(records_for(name), SEED)
    graph = tf.function(lambda inputs: task.sums(inputs, True)).get_concrete_function(inputs).graph
    products = [op.outputs[0].shape for op in graph.get_operations() if op.type == "MatMul"]
    rows, width = inputs["positions"].shape
    assert [shape for shape in products if shape[-1] == VOCABULARY] == [(rows * width, VOCABULARY)]
    assert task.networks[0][1] == width
    # the body is computed once (ELECTRA's generator has another width)
    tokens, inner = rows * LENGTH, CONFIG["intermediate_size"]
    assert products.count((tokens, inner)) == CONFIG["num_hidden_layers"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("simbert", "electra")])
def test_parts_of_a_batch_add_up(name):
    task = shared(name)
    inputs = task.prepare(records_for(name), SEED)
    parts = [{key: value[i::2] for key, value in inputs.items()} for i in range(2)]
    for compute in (task.weights, lambda inputs: task.sums(inputs, False)):
        whole, *halves = map(numbers, (compute(inputs), *map(compute, parts)))
        added = tf.nest.map_structure(np.add, *halves)
        tf.nest.map_structure(
            lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), added, whole
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_trained(name):
    task = build(name)
    inputs = task.prepare(records_for(name, rows=8), SEED)
    _, _, found = gradients(task, inputs)
    untrained = []
    for variable, gradient in zip(task.model.trainable_variables, found):
        assert np.isfinite(gradient).all()
        if np.abs(gradient).max() < 1e-7:
            untrained.append(variable_path(variable))
    # softmax does not see a number that is added to all scores of a query
    assert all("/key/bias" in path or path.endswith("key_bias") for path in untrained)
    assert len(untrained) == 2 * (2 if name == "electra" else 1)


@pytest.mark.parametrize("name", ["roberta", "electra"])
def test_no_two_kernels_begin_alike(name):
    task = build(name)
    kernels = [np.asarray(v).ravel() for v in task.model.trainable_variables if len(v.shape) > 1]
    assert len(kernels) > 12
    for i, one in enumerate(kernels):
        for other in kernels[:i]:
            size = min(len(one), len(other))
            assert abs(np.corrcoef(one[:size], other[:size])[0, 1]) < 0.9
    again = build(name)
    for one, other in zip(task.model.trainable_variables, again.model.trainable_variables):
        np.testing.assert_array_equal(one, other)
    another = build(name, seed=2)
    assert any(
        (np.asarray(one) != np.asarray(other)).any()
        for one, other in zip(task.model.trainable_variables, another.model.trainable_variables)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiled_losses_and_gradients_are_the_same(name):
    task = build(name, config={**CONFIG, "num_hidden_layers": 1})
    inputs = task.prepare(records_for(name), SEED)
    eager = numbers(gradients(task, inputs))
    compiled = numbers(
        tf.function(lambda inputs: gradients(task, inputs), jit_compile=True)(inputs)
    )
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, atol=2e-5), compiled, eager
    )


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name):
    task = build(name, dtype="mixed_bfloat16")
    inputs = task.prepare(records_for(name), SEED)
    loss, _, found = gradients(task, inputs)
    exact, _ = total_loss(shared(name), inputs, False)
    assert loss.dtype == tf.float32 and all(variable.dtype == "float32" for variable in found)
    assert all(np.isfinite(gradient).all() for gradient in found)
    # the tokens that ELECTRA draws differ with the last bits of the logits
    np.testing.assert_allclose(loss, exact, rtol=0.2 if name == "electra" else 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_learns(name):
    """The loss of a batch falls."""
    task = build(name, config={**CONFIG, "num_hidden_layers": 1})
    inputs = task.prepare(records_for(name), SEED)
    step = tf.function(lambda: gradients(task, inputs)[::2])
    first, _ = step()
    for _ in range(20):
        loss, found = step()
        for variable, gradient in zip(task.model.trainable_variables, found):
            variable.assign_sub(0.1 * gradient / (1e-3 + tf.norm(gradient)))
    assert loss < 0.8 * first


# ---- ELECTRA --------------------------------------------------------------------------------


@pytest.fixture
def electra_inputs():
    return shared("electra").prepare(records_for("electra", rows=30), SEED)


def detect(inputs, replaced):
    task = shared("electra")
    replaced = tf.constant(replaced)
    loss, metrics = numbers(task.detection(inputs, replaced, False))
    logits = task.discriminator.model([replaced, inputs["segment_ids"]]).numpy()[..., 0]
    return loss, metrics, logits


def test_detection_is_that_of_plain_arithmetic(electra_inputs):
    rows = numbers(electra_inputs)
    random = np.random.RandomState(0)
    real = np.arange(LENGTH) < rows["length"][:, None]
    fake = (random.rand(*real.shape) < 0.3) & real
    replaced = np.where(fake, (rows["original_ids"] - 5 + 7) % 55 + 5, rows["original_ids"])
    loss, metrics, logits = detect(electra_inputs, replaced.astype(np.int32))
    expected = np.log1p(np.exp(np.where(fake, -1.0, 1.0) * logits.astype(np.float64)))
    np.testing.assert_allclose(loss, expected[real].sum(), rtol=1e-5)
    found = logits > 0
    hits = (found & fake & real).sum()
    assert metrics["disc_accuracy"] == ((found == fake)[real].sum(), real.sum())
    assert metrics["disc_precision"] == (hits, found[real].sum())
    assert metrics["disc_recall"] == (hits, fake.sum())
    assert numbers(shared("electra").weights(electra_inputs))["disc"] == real.sum()


def test_what_the_generator_writes(electra_inputs, monkeypatch):
    """Only chosen positions change, to what was drawn; what is the original again is no fake."""
    task, rows, seen = shared("electra"), numbers(electra_inputs), {}
    real_detection = task.detection
    monkeypatch.setattr(
        task,
        "detection",
        lambda inputs, replaced, training: (
            seen.update(replaced=replaced.numpy()),
            real_detection(inputs, replaced, training),
        )[1],
    )
    drawn = rows["labels"].copy()
    drawn[::2] = 59  # every other row keeps the originals
    monkeypatch.setattr(electra, "sample", lambda logits, temperature: tf.constant(drawn))
    _, metrics = numbers(task.sums(electra_inputs, False))
    expected = rows["original_ids"].copy()
    for row in range(0, 30, 2):
        expected[row, rows["positions"][row, rows["weights"][row] > 0]] = 59
    np.testing.assert_array_equal(seen["replaced"], expected)
    assert metrics["disc_recall"][1] == (expected != rows["original_ids"]).sum()
    assert metrics["sampled_accuracy"] == (
        ((drawn == rows["labels"]) * rows["weights"]).sum(),
        rows["weights"].sum(),
    )


def test_tokens_are_drawn_from_the_softmax():
    logits = tf.constant(np.log([[0.6, 0.3, 0.1, 1e-9]]), tf.float32)
    for temperature in (1.0, 2.0):
        with seeded(tf.constant([5, 6])):
            drawn = electra.sample(tf.repeat(logits, 20000, 0), temperature)
        expected = np.exp(logits.numpy()[0] / temperature)
        expected /= expected.sum()
        np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20000, expected, atol=0.015)
    with seeded(tf.constant([5, 6])):
        np.testing.assert_array_equal(
            electra.sample(tf.repeat(logits, 20000, 0), temperature), drawn
        )


def test_no_gradient_flows_from_the_discriminator_to_the_generator(electra_inputs):
    task = shared("electra")
    with tf.GradientTape() as tape:
        sums, _ = task.sums(electra_inputs, True)
    variables = task.model.trainable_variables
    found = tape.gradient(sums["disc"], variables)
    reached = {variable_path(v).split("/")[0] for v, g in zip(variables, found) if g is not None}
    assert any(name.startswith("Discriminator") for name in reached)
    assert not any(name.startswith("Generator") for name in reached)


def test_electra_in_parts(electra_inputs, monkeypatch):
    task = shared("electra")
    monkeypatch.setattr(
        electra, "sample", lambda logits, temperature: tf.argmin(logits, -1, tf.int32)
    )
    parts = [{key: value[i::2] for key, value in electra_inputs.items()} for i in range(2)]
    whole, *halves = [numbers(task.sums(x, False)) for x in (electra_inputs, *parts)]
    added = tf.nest.map_structure(np.add, *halves)
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), added, whole
    )


# ---- SimBERT --------------------------------------------------------------------------------


def test_similarity_is_the_published_loss():
    task = shared("simbert")
    batch = records_for("simbert")
    batch["label"] = tf.constant([0, 1, 2, 1, 3, 4])  # a group that comes twice
    inputs = task.prepare(batch, SEED)
    sums, _ = task.sums(inputs, False)
    vectors = task.transformer.model([inputs["token_ids"], inputs["segment_ids"]])[0]
    mean = InBatchSimilarityLoss()(inputs["groups"], vectors)
    np.testing.assert_allclose(sums["similarity"] / 12, mean, rtol=1e-5)


def test_vectors_do_not_see_the_target():
    task = shared("simbert")
    inputs = task.prepare(records_for("simbert"), SEED)
    token_ids, segment_ids = inputs["token_ids"].numpy(), inputs["segment_ids"].numpy()
    other_targets = np.where(segment_ids == 1, 5 + (token_ids + 3) % 50, token_ids)
    other_sources = np.where((segment_ids == 0) & (token_ids > 4), 7, token_ids)
    vectors, changed, moved = (
        task.transformer.model([ids, segment_ids])[0].numpy()
        for ids in (token_ids, other_targets.astype(np.int32), other_sources)
    )
    np.testing.assert_allclose(changed, vectors, atol=1e-6)
    assert np.abs(moved - vectors).max() > 1e-2
