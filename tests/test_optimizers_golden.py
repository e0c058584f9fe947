"""LAMB, AdamWeightDecay and the warm-up schedules: recorded trajectories and plain arithmetic."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pytest

from kerasbert import optimizers
from kerasbert.backend import IS_KERAS3, LEGACY_KERAS, keras, tf, variable_path
from kerasbert.optimizers import (
    LAMB,
    NO_DECAY,
    AdamW,
    AdamWeightDecay,
    NezhaLAMB,
    WarmupCosineDecay,
    WarmupPolynomialDecay,
)


def options(settings, *names):
    chosen = {name: settings[name] for name in names if name in settings}
    if "weight_decay_rate" in settings:
        chosen["weight_decay"] = settings["weight_decay_rate"]
    return chosen


COMMON = ("learning_rate", "weight_decay", "beta_1", "beta_2", "epsilon")
EXCLUDED = ("exclude_from_weight_decay", "exclude_from_layer_adaptation")


def google(optimizer, form="bert", **more):
    def build(s):
        chosen = options(s, *COMMON[1:], *EXCLUDED)
        chosen["global_clipnorm"] = 1.0
        chosen["learning_rate"] = WarmupPolynomialDecay(
            s.get("init_lr", s.get("learning_rate")),
            s["num_train_steps"],
            s.get("num_warmup_steps", s.get("warmup_steps")),
            form=form,
            warmup_start=s.get("start_warmup_step", 0),
        )
        return optimizer(**chosen, **{key: value(s) for key, value in more.items()})

    return build


def constant(optimizer, **more):
    return lambda s: optimizer(**{**more, **options(s, *COMMON, *EXCLUDED)})


def polynomial(value):
    if not isinstance(value, dict):
        return value
    (given,) = value.values()
    return keras.optimizers.schedules.PolynomialDecay(power=1.0, **given)


def addons_lamb(s):
    s = {**s, "learning_rate": polynomial(s["learning_rate"])}
    return optimizers.lamb(**{"exclude_from_weight_decay": None, **options(s, *COMMON, *EXCLUDED)})


def addons_adamw(s):
    """There the decay is not multiplied by the learning rate: here it is divided by it."""
    rate, decay = s["learning_rate"], s["weight_decay"]
    if isinstance(rate, dict):  # both fall in the same way, so that the quotient stays
        decay, initial = (x["PolynomialDecay"]["initial_learning_rate"] for x in (decay, rate))
    else:
        initial = rate
    some = "exclude_from_weight_decay" in s or "decay_var_list" in s
    return AdamW(
        polynomial(rate),
        decay / initial,
        epsilon=s["epsilon"],
        no_decay=("bias", "gamma") if some else (),
    )


def layer_rates(s):
    top = s["n_transformer_layers"] + 2
    columns = s["learning_rate_columns"]
    depths = [0, 0, 1, 2, top]
    return {c: s["layerwise_lr_decay_power"] ** (top - d) for c, d in zip(columns, depths)}


albert_lamb = constant(LAMB, bias_correction=False)
CASES = {
    "bert_adamw_constant": constant(AdamWeightDecay),
    "bert_create_optimizer": google(AdamWeightDecay),
    "bert_create_optimizer_nowarmup": google(AdamWeightDecay),
    "albert_create_optimizer_adamw": google(AdamWeightDecay),
    "albert_create_optimizer_lamb": google(LAMB, bias_correction=lambda s: False),
    "albert_lamb_constant": albert_lamb,
    "albert_lamb_exclude": albert_lamb,
    "electra_create_optimizer": google(AdamWeightDecay, "electra"),
    "electra_layerwise_decay": google(AdamWeightDecay, "electra", rate_multipliers=layer_rates),
    "nezha_lamb_constant": constant(NezhaLAMB),
    "tfa_lamb": addons_lamb,
    "tfa_lamb_exclude_both": addons_lamb,
    "tfa_lamb_exclude_wd": addons_lamb,
    "tfa_lamb_schedule": addons_lamb,
    "tfa_adamw": addons_adamw,
    "tfa_adamw_decay_var_list": addons_adamw,
    "tfa_adamw_exclude": addons_adamw,
    "tfa_adamw_schedule": addons_adamw,
}


def moments(optimizer, variables):
    """The values of both moments of every variable."""
    if hasattr(optimizer, "get_slot"):  # tensorflow-addons
        slots = [[optimizer.get_slot(v, kind) for v in variables] for kind in "mv"]
    else:
        slots = [optimizer._momentums, optimizer._velocities]
    return [[np.array(slot) for slot in kind] for kind in slots]


@pytest.mark.parametrize("name", CASES)
def test_equals_the_recorded_trajectory(shared, name):
    folder = shared / "golden/google/optim"
    case = json.loads((folder / f"{name}.json").read_text())
    optimizer = CASES[name](case["settings"])
    with np.load(folder / f"{name}.npz") as recorded:
        arrays = dict(recorded)
    order = range(len(case["variables"]))
    variables = [
        tf.Variable(arrays[f"var_{i}"][0], name=case["variables"][i]["name"]) for i in order
    ]
    for step in range(case["steps"]):
        gradients = [tf.constant(arrays[f"grad_{i}"][step]) for i in order]
        optimizer.apply_gradients(zip(gradients, variables))
        first, second = moments(optimizer, variables)
        for i in order:
            message = f"{case['variables'][i]['name']}, step {step}"
            for ours, kind in ((first[i], "m"), (second[i], "v")):
                expected = arrays[f"{kind}_{i}"][step]
                np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6, err_msg=message)
            expected = arrays[f"var_{i}"][step + 1]
            np.testing.assert_allclose(
                variables[i].numpy(), expected, rtol=0, atol=1e-6, err_msg=message
            )


def test_every_recorded_case_is_compared(shared):
    recorded = {path.stem for path in (shared / "golden/google/optim").glob("*.npz")}
    assert recorded == set(CASES)


def arithmetic(optimizer, weights, gradients, decayed, adapted, rate):
    """The published update of one variable in float64, with decay 0.1 and the usual betas."""
    w, m, v = np.array(weights, "d"), 0.0, 0.0
    for step, g in enumerate(np.array(gradients, "d"), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        corrected = optimizer != "google"
        m_hat = m / (1 - 0.9**step) if corrected else m
        v_hat = v / (1 - 0.999**step) if corrected else v
        update = m_hat / (np.sqrt(v_hat) + 1e-6) + 0.1 * decayed * w
        measured = update
        if optimizer == "nezha":
            measured = m_hat / np.sqrt(v_hat + 1e-6) + 0.1 * w
        norm = np.linalg.norm
        ratio = norm(w) / norm(measured) if adapted and norm(w) and norm(measured) else 1.0
        w = w - rate * (min(ratio, 10.0) if optimizer == "nezha" else ratio) * update
    return w


WEIGHTS = {
    "dense/kernel": np.array([[0.5, -1.0, 2.0], [0.25, 0.0, -0.75]], "f"),
    "dense/bias": np.array([30.0, -40.0], "f"),
    "Embedding-Norm/gamma": np.zeros(2, "f"),
}
GRADIENTS = [
    [np.array([[0.1, 2.0, -0.3], [0.0, 0.4, 5.0]], "f"), [1.0, 2.0], [0.5, -0.25]],
    [np.array([[-0.2, 0.0, 0.3], [1.0, 0.4, -2.0]], "f"), [-1.0, 1.0], [0.125, 4.0]],
    [np.zeros((2, 3), "f"), [0.0, 0.5], [0.0, 0.0]],
]


@pytest.mark.parametrize(
    "make, rule",
    [(AdamWeightDecay, "google"), (LAMB, "lamb"), (optimizers.lamb, "lamb"), (NezhaLAMB, "nezha")],
)
def test_plain_arithmetic(make, rule):
    optimizer = make(0.05, weight_decay=0.1)
    variables = [tf.Variable(value, name=name) for name, value in WEIGHTS.items()]
    for gradients in GRADIENTS:
        optimizer.apply_gradients(zip(map(tf.constant, gradients), variables))
    for i, (name, value) in enumerate(WEIGHTS.items()):
        decayed = name == "dense/kernel"
        adapted = rule == "nezha" or (rule == "lamb" and decayed)
        expected = arithmetic(rule, value, [g[i] for g in GRADIENTS], decayed, adapted, 0.05)
        np.testing.assert_allclose(variables[i].numpy(), expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("make", [LAMB, optimizers.lamb])
def test_no_exclusion_from_adaptation_is_not_the_default(make):
    """tensorflow-addons takes an empty list for none at all."""
    gradients = [np.array([3.0, 1.0], "f")]
    for excluded, adapted in (((), True), (None, False), (["dense"], False), (["none"], True)):
        bias = tf.Variable([3.0, -4.0], name="dense/bias")
        optimizer = make(0.05, weight_decay=0.1, exclude_from_layer_adaptation=excluded)
        optimizer.apply_gradients([(tf.constant(gradients[0]), bias)])
        expected = arithmetic("lamb", [3.0, -4.0], gradients, False, adapted, 0.05)
        np.testing.assert_allclose(bias.numpy(), expected, atol=1e-5)


def test_lamb_is_that_of_the_stack():
    if IS_KERAS3 or LEGACY_KERAS:
        assert type(optimizers.lamb()) is LAMB
    else:
        addons = pytest.importorskip("tensorflow_addons")
        assert type(optimizers.lamb()) is addons.optimizers.LAMB


def small_model(vocabulary=11):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(vocabulary, 8, name="Embedding-Token"),
            keras.layers.LayerNormalization(name="Embedding-Norm"),
            keras.layers.Dense(3, dtype="float32", name="Head"),
        ]
    )
    rng = np.random.default_rng(0)
    return model, rng.integers(0, vocabulary, (16, 6)), rng.standard_normal((16, 6, 3)).astype("f")


def trained(optimizer, **compile_options):
    model, x, y = small_model()
    model.compile(optimizer, "mse", **compile_options)
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


MAKERS = {
    "lamb": lambda: optimizers.lamb(WarmupPolynomialDecay(0.1, 10, 2)),
    "LAMB": lambda: LAMB(WarmupCosineDecay(0.1, 10, 2), global_clipnorm=0.5),
    "NezhaLAMB": lambda: NezhaLAMB(0.02),
    "AdamWeightDecay": lambda: AdamWeightDecay(0.01, rate_multipliers={"Head": 0.5}),
}


@functools.cache
def plainly_trained(name):
    return trained(MAKERS[name]())


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.slow
def test_a_compiled_train_step_has_the_same_numbers(name):
    start = small_model()[0].get_weights()
    plain, compiled = plainly_trained(name), trained(MAKERS[name](), jit_compile=True)
    for before, ours, expected in zip(start, compiled, plain):
        assert np.abs(ours - before).max() > 1e-3
        np.testing.assert_allclose(ours, expected, atol=5e-6)


@pytest.mark.parametrize(
    "name, policy",
    [
        ("lamb", "mixed_float16"),
        ("LAMB", "mixed_bfloat16"),
        ("AdamWeightDecay", "mixed_float16"),
    ],
)
def test_mixed_precision(name, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        half = trained(MAKERS[name]())
    finally:
        keras.mixed_precision.set_global_policy("float32")
    start = small_model()[0].get_weights()
    for before, ours, expected in zip(start, half, plainly_trained(name)):
        moved = np.abs(expected - before).mean()
        assert np.abs(ours - expected).mean() < 0.1 * moved


@pytest.mark.parametrize("make", [LAMB, AdamWeightDecay])
def test_weights_in_bfloat16_are_computed_with_in_float32(make):
    variable = tf.Variable(tf.cast([1.0, -2.0, 300.0], tf.bfloat16), name="dense/kernel")
    optimizer = make(0.05, weight_decay=0.1)
    optimizer.apply_gradients([(tf.cast([1.0, 2.0, -3.0], tf.bfloat16), variable)])
    rule = "lamb" if make is LAMB else "google"
    wanted = arithmetic(rule, [1.0, -2.0, 300.0], [[1.0, 2.0, -3.0]], True, make is LAMB, 0.05)
    assert variable.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(variable, tf.float32), wanted, rtol=0.01)


def goes_on_alike(again, model, x, y):
    for one in (model, again):
        one.fit(x, y, shuffle=False, verbose=0)
    for ours, expected in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["lamb", "NezhaLAMB", "AdamWeightDecay"])
@pytest.mark.slow
def test_training_goes_on_after_saving(name, tmp_path):
    model, x, y = small_model()
    model.compile(MAKERS[name](), "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is type(model.optimizer)
    assert again.optimizer.get_config() == model.optimizer.get_config()
    if not hasattr(model.optimizer, "get_slot"):  # Keras 2.15 drops the moments of tfa's
        goes_on_alike(again, model, x, y)


@pytest.mark.parametrize("name", ["lamb", "AdamWeightDecay"])
@pytest.mark.slow
def test_training_goes_on_from_a_checkpoint(name, tmp_path):
    models = []
    for _ in range(2):
        model, x, y = small_model()
        model.compile(MAKERS[name](), "mse")
        model.fit(x, y, verbose=0)
        models.append(model)
    model, again = models
    model.fit(x, y, epochs=2, verbose=0)
    checkpoints = [tf.train.Checkpoint(model=m, optimizer=m.optimizer) for m in models]
    checkpoints[1].restore(checkpoints[0].save(str(tmp_path / "state"))).assert_consumed()
    assert int(again.optimizer.iterations) == 3
    goes_on_alike(again, model, x, y)


@pytest.mark.parametrize(
    "optimizer",
    [
        LAMB(0.1, 0.2, 0.8, 0.9, 1e-5, ["a"], ["b"], False, global_clipnorm=1.0),
        NezhaLAMB(0.1, exclude_from_weight_decay=None),
        AdamWeightDecay(0.1, rate_multipliers={"layer_1": 0.5, "layer_": 0.25}),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_configuration_is_complete(optimizer):
    config = json.loads(json.dumps(optimizer.get_config(), default=float))
    again = type(optimizer).from_config(config)
    assert json.dumps(again.get_config(), default=float) == json.dumps(config, default=float)
    if isinstance(again, LAMB) and not isinstance(again, NezhaLAMB):
        chosen = ("exclude_from_weight_decay", "exclude_from_layer_adaptation", "bias_correction")
        assert [config[key] for key in chosen] == [["a"], ["b"], False]


def test_names_of_replicas_do_not_matter():
    """On a strategy the second copy of dense/bias is called dense/bias/replica_1."""
    copy = tf.Variable([3.0], name="dense/bias/replica_1")
    optimizer = AdamWeightDecay(0.1, weight_decay=0.5, exclude_from_weight_decay=["bias$"])
    optimizer.apply_gradients([(tf.zeros(1), copy)])
    assert copy.numpy() == 3.0


@pytest.mark.parametrize("make", [LAMB, optimizers.lamb, AdamWeightDecay])
def test_what_is_no_list_of_regular_expressions_is_refused(make):
    with pytest.raises(ValueError, match="takes a list of regular expressions"):
        make(exclude_from_weight_decay="bias")
    with pytest.raises(ValueError, match=r"takes regular expressions. Received: '\('"):
        make(exclude_from_weight_decay=["("])


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_forms_of_the_polynomial_decay():
    def of(form, **more):
        schedule = WarmupPolynomialDecay(1.0, 10, 4, form=form, **more)
        again = WarmupPolynomialDecay.from_config(schedule.get_config())
        assert rates(again, range(12)) == rates(schedule, range(12))
        return rates(schedule, (0, 2, 4, 7, 10, 20))

    np.testing.assert_allclose(of("restart"), [0, 0.5, 1, 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(of("bert"), [0, 0.5, 0.6, 0.3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(of("electra"), [0, 0.4, 0.6, 0.3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(
        of("bert", warmup_start=1), [-0.25, 0.25, 0.75, 0.3, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(of("restart", power=2.0), [0, 0.5, 1, 0.25, 0, 0], atol=1e-6)
    np.testing.assert_allclose(
        of("restart", end_learning_rate=0.2), [0, 0.5, 1, 0.6, 0.2, 0.2], atol=1e-6
    )


def test_cosine():
    schedule = WarmupCosineDecay(2.0, 12, warmup=4, end_learning_rate=0.5)
    expected = [0, 1, 2, 0.5 + 0.75 * (1 + math.cos(math.pi / 4)), 1.25, 0.5, 0.5]
    np.testing.assert_allclose(rates(schedule, (0, 2, 4, 6, 8, 12, 99)), expected, atol=1e-6)
    again = WarmupCosineDecay.from_config(schedule.get_config())
    assert rates(again, range(14)) == rates(schedule, range(14))
    assert rates(WarmupCosineDecay(2.0, 10, warmup=0), [0]) == [2.0]
    assert rates(WarmupCosineDecay(2.0, 10, warmup=0.2), [1, 2]) == [1.0, 2.0]


@pytest.mark.parametrize("schedule", [WarmupCosineDecay, WarmupPolynomialDecay])
def test_a_warmup_without_end_is_refused(schedule):
    with pytest.raises(ValueError, match="warm-up must be shorter"):
        schedule(1e-4, 10, warmup=10)


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="form must be one of restart, bert, electra"):
        WarmupPolynomialDecay(1e-4, 10, form="albert")
    with pytest.raises(ValueError, match='warmup_start needs form="bert"'):
        WarmupPolynomialDecay(1e-4, 10, warmup_start=1)


def test_biases_and_normalisation_of_our_models_are_excluded():
    paths = [variable_path(weight) for weight in small_model()[0].weights]
    assert len(paths) == 5
    assert sum(any(part in path for part in NO_DECAY) for path in paths) == 3
