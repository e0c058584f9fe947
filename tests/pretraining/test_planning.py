"""--dry-run says what would run, and finds what could not."""

from __future__ import annotations

import json

import pytest

from kerasbert.backend import tf
from pretraining import planning, strategies
from pretraining.run import main
from pretraining.settings import Settings
from tests.pretraining.loop_cases import CONFIG, SETTINGS, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("plan") / "corpus")


def settings(corpus, **changes) -> Settings:
    values = {"config": CONFIG, **SETTINGS, "corpus": str(corpus), **changes}
    return Settings(**values)


@pytest.mark.slow
def test_a_plan_for_a_tpu(corpus, tmp_path):
    wanted = settings(corpus, strategy="tpu", batch_size=32, accumulation=2, steps=10,
                      output=str(tmp_path / "run"), precision="mixed_bfloat16")  # fmt: skip
    lines = "\n".join(planning.plan(wanted))
    assert "32 = 8 replicas x 2 micro-batches x 2 sequences" in lines
    assert "token_ids (4, 16)" in lines and "XLA takes it" in lines
    assert "epochs: 5.00 of 2 steps" in lines and "losses mlm" in lines
    assert not (tmp_path / "run").exists()


def test_a_batch_that_replicas_cannot_share(corpus):
    with pytest.raises(ValueError, match=r"replicas x accumulation, 8 x 2. Received: 8"):
        planning.plan(settings(corpus, strategy="tpu", accumulation=2))


@pytest.mark.slow
def test_a_step_that_xla_does_not_take(corpus, monkeypatch):
    from pretraining.step import Step

    def of_replica(self, inputs, number):
        import tensorflow as tf

        return tf.py_function(lambda x: x, [inputs["weights"]], tf.float32)

    monkeypatch.setattr(Step, "of_replica", of_replica)
    with pytest.raises(ValueError, match="XLA cannot compile it"):
        planning.plan(settings(corpus, strategy="tpu"))
    assert "XLA cannot compile it" in "\n".join(planning.plan(settings(corpus)))


@pytest.mark.slow
def test_the_command(corpus, tmp_path, capsys):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(settings(corpus).to_dict()))
    assert main(["--config-file", str(path), "--dry-run"]) == 0
    assert "parameters, from random weights" in capsys.readouterr().out


def test_workers_are_counted(monkeypatch):
    assert strategies.workers() == 1
    cluster = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert strategies.workers() == 3


def test_strategies_that_are_not_there(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"TF_CONFIG.*is not set"):
        strategies.make_strategy("multiworker")
    with pytest.raises(ValueError, match="Unknown strategy"):
        strategies.make_strategy("cloud")


@pytest.mark.parametrize(
    "error",
    [ValueError("no such TPU"), OSError("no network"), tf.errors.NotFoundError(None, None, "")],
)
def test_a_tpu_that_is_not_there(monkeypatch, error):
    def resolve(tpu):
        raise error

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", resolve)
    with pytest.raises(ValueError, match="No TPU could be reached at 'nowhere'"):
        strategies.make_strategy("tpu", tpu="nowhere")
