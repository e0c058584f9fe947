"""Runs within one process: the same numbers however divided, interrupted and compiled."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from kerasbert import build_transformer_model
from kerasbert.backend import tf
from pretraining import state as state_module
from pretraining.loop import Training
from pretraining.parts import Parts
from pretraining.settings import Settings
from tests.pretraining.loop_cases import (
    CONFIG,
    DROPOUT,
    EXPECTED,
    SETTINGS,
    column,
    tensors,
    write_corpus,
)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    return {style: write_corpus(folder / style, style) for style in ("roberta", "bert", "simbert")}


@pytest.fixture
def train(tmp_path, corpora):
    """Trains the tiny settings into a folder of a name; returns the folder."""

    def train(name: str = "run", style: str = "roberta", **settings):
        values = {"config": CONFIG, **SETTINGS, "corpus": str(corpora[style]), **settings}
        values["output"] = str(tmp_path / name)
        Training(Parts(Settings(**values)), quiet=True).run()
        return tmp_path / name

    return train


@pytest.mark.smoke
def test_losses_fall_and_are_those_of_every_stack(train):
    folder = train()
    losses = column(folder)
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.05
    np.testing.assert_allclose(losses, EXPECTED, rtol=1e-5)
    assert column(folder, "step") == list(range(1, 13))
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"accumulation": 4},
        {"steps_per_call": 5, "accumulation": 2},
        {"jit_compile": True},
        {"jit_compile": True, "accumulation": 2},
        {"recompute": True},
    ],
    ids=lambda settings: " ".join(f"{name}={value}" for name, value in settings.items()),
)
def test_divided_runs_are_the_same_run(train, settings):
    folder = train(**settings)
    np.testing.assert_allclose(column(folder), EXPECTED, rtol=1e-5)


@pytest.mark.slow
def test_an_interrupted_run_is_the_unbroken_one(train):
    """With dropout, averages, an evaluation, lines of several steps, and epochs that end."""
    settings = {
        "config": {**CONFIG, **DROPOUT},
        "average": 0.9,
        "steps": 23,
        "log_every": 5,
        "evaluate_every": 6,
        "export_every": 10,
        "accumulation": 2,
    }
    whole = train("whole", **settings)
    for stop_after in (7, 1, 9, None):
        broken = train("broken", stop_after=stop_after, save_every=3, **settings)
    assert column(broken) == column(whole) and len(column(whole)) == 5
    ours, theirs = tensors(broken / "export"), tensors(whole / "export")
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], name)
    assert sorted(path.name for path in (broken / "exports").iterdir()) == ["step-10", "step-20"]


@pytest.mark.slow
@pytest.mark.either
def test_other_settings_are_another_run(train, corpora, tmp_path):
    folder = train(steps=4)
    before = (folder / "log.csv").read_text()
    for changed in ({"learning_rate": 0.02}, {"seed": 2}, {"batch_size": 4}, {"steps": 5}):
        with pytest.raises(ValueError, match=rf"other settings.*{next(iter(changed))}"):
            train(**{"steps": 4, **changed})
    with pytest.raises(ValueError, match="corpus_sha256"):
        train(steps=4, style="bert", objective="roberta")
    assert (folder / "log.csv").read_text() == before
    train(steps=4, steps_per_call=1, log_every=2)  # free
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("mine")
    with pytest.raises(ValueError, match="holds files and no run"):
        train("full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.doc"]


@pytest.mark.slow
@pytest.mark.either
def test_damaged_checkpoints_are_passed_over(train):
    settings = {"save_every": 2, "keep": 3, "steps": 8}
    folder = train(stop_after=6, **settings)
    data = folder / "state" / "ckpt-6.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    train(**settings)
    np.testing.assert_allclose(column(folder), column(train("whole", **settings)), rtol=1e-6)


def test_when_no_checkpoint_can_be_read_nothing_is_begun(train):
    folder = train(steps=8, stop_after=4)
    for path in (folder / "state").glob("*.data*"):
        path.write_bytes(b"")
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match="No checkpoint of the run can be read"):
        train(steps=8)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.either
def test_a_full_disk_leaves_the_last_checkpoint(train, monkeypatch):
    folder = train(steps=8, stop_after=4)
    written = tf.train.CheckpointManager.save

    def save(self, checkpoint_number=None, **options):
        path = written(self, checkpoint_number=checkpoint_number, **options)
        raise tf.errors.ResourceExhaustedError(None, None, f"No space left on device: {path}")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", save)
    with pytest.raises(OSError, match=r"could not be written.*No space left"):
        train(steps=8)
    monkeypatch.undo()
    assert not list((folder / "state").glob("ckpt-8*"))
    assert len(column(train(steps=8))) == 8


def test_a_loss_that_is_no_number_ends_the_run(train, tmp_path):
    with pytest.raises(FloatingPointError, match=r"loss of step \d+ is .*ckpt-2"):
        train(learning_rate=1e30, clip_norm=None, warmup=3, optimizer="adamw", save_every=2)
    assert state_module.tf.train.latest_checkpoint(str(tmp_path / "run" / "state"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_as_well(train, precision):
    losses = column(train(precision=precision))
    assert np.abs(np.array(losses) - EXPECTED).max() < 0.1


def test_the_loss_scale_leaves_out_steps(train):
    """A scale of 2 ** 15 overflows float16 with large losses: steps are left out until it fits."""
    config = {**CONFIG, "initializer_range": 4.0}
    folder = train(precision="mixed_float16", config=config)
    scales, norms = column(folder, "loss_scale"), column(folder, "gradient_norm")
    left_out = sum(not np.isfinite(norm) for norm in norms)
    assert left_out and scales[-1] == 2.0**15 / 2.0**left_out
    assert column(folder, "learning_rate")[-1] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "lamb"},
        {"optimizer": "nezha_lamb", "schedule": "cosine"},
        {"optimizer": "adam_weight_decay", "schedule": "polynomial", "power": 2.0},
        {"optimizer": "adafactor", "schedule": "constant"},
    ],
    ids=lambda settings: settings["optimizer"],
)
def test_optimizers(train, settings):
    whole = train("whole", **settings)
    assert np.mean(column(whole)[-4:]) < np.mean(column(whole)[:4])
    train("broken", stop_after=5, **settings)
    np.testing.assert_allclose(column(train("broken", **settings)), column(whole), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "style"), [("bert", "bert"), ("simbert", "simbert"), ("unilm", "roberta")]
)
def test_other_objectives(train, objective, style):
    folder = train(objective=objective, style=style, average=0.5, export_zip=True)
    assert np.isfinite(column(folder)).all()
    model = build_transformer_model(folder / "export.zip", with_mlm="linear")
    assert model.count_params() > 0


@pytest.mark.slow
def test_going_on_from_a_checkpoint(train):
    first = train("first")
    second = train("second", checkpoint=str(first / "export"), config=None, steps=3)
    assert column(second)[0] < EXPECTED[0] - 0.2
    fewer = train("fewer", checkpoint=str(first / "export"), config=None, steps=3,
                  model_options={"num_hidden_layers": 1})  # fmt: skip
    assert json.loads((fewer / "export" / "bert_config.json").read_text())["num_hidden_layers"] == 1


def test_micro_batches_of_simbert_are_refused(train):
    with pytest.raises(ValueError, match="accumulation must be 1, not 2"):
        train(objective="simbert", style="simbert", accumulation=2)


def test_a_held_out_corpus_of_another_kind_is_refused(train, corpora):
    with pytest.raises(ValueError, match=r"held-out corpus.*style is 'bert'"):
        train(evaluation=str(corpora["bert"]))


def test_settings_are_compared_whole():
    settings = Settings(corpus="a")
    assert settings.difference(settings.to_dict()) == []
    other = dataclasses.replace(settings, masking={"mode": "plain"}, output="elsewhere")
    assert other.difference(settings.to_dict()) == ["masking: {} then, {'mode': 'plain'} now"]
