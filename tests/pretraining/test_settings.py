"""Settings: files, flags, presets, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kerasbert.config import TransformerConfig
from pretraining.optimization import make_optimizer, make_schedule
from pretraining.presets import PRESETS
from pretraining.run import parse
from pretraining.settings import FREE, Settings, read_file

FIELDS = {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings(name):
    settings = Settings.from_dict({"preset": name, "corpus": "c", "output": "o"})
    assert set(PRESETS[name].settings) <= FIELDS
    if settings.config:
        TransformerConfig.from_dict(settings.config)
    make_optimizer(settings)
    assert "Corpus:" in PRESETS[name].what or "as roberta_tiny" in PRESETS[name].what


def test_the_recipe_of_roberta_tiny():
    settings = Settings.from_dict({"preset": "roberta_tiny"})
    schedule = make_schedule(settings)
    assert settings.batch_size == 800 * settings.accumulation == 3200
    assert float(schedule(3125)) == pytest.approx(0.00176)
    assert float(schedule(1000)) == pytest.approx(0.00176 * 1000 / 3125)
    assert float(schedule(125_000)) == 0.0


@pytest.mark.parametrize(
    ("schedule", "halfway"),
    [("linear", 0.5), ("polynomial", 0.25), ("cosine", 0.5), ("constant", 1.0)],
)
def test_schedules(schedule, halfway):
    settings = Settings(schedule=schedule, learning_rate=2.0, steps=110, warmup=10, power=2.0)
    made = make_schedule(settings)
    assert float(made(5)) == pytest.approx(1.0)
    assert float(made(60)) == pytest.approx(2.0 * halfway, rel=1e-5)


def test_flags_come_before_the_file_and_the_file_before_the_preset(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("preset: simbert\nbatch_size: 32\nsteps: 10\nmasking: {mode: plain}\n")
    _, settings = parse(["--config-file", str(path), "--steps", "20", "--clip-norm", "null"])
    assert (settings.steps, settings.batch_size, settings.learning_rate) == (20, 32, 2e-6)
    assert settings.masking == {"mode": "plain"} and settings.clip_norm is None


def test_flags_of_every_kind():
    _, settings = parse(
        ["--corpus", "c", "--config", '{"vocab_size": 5}', "--masking", '{"mode": "span"}',
         "--jit-compile", "--no-recompute", "--warmup", "100", "--average", "0.5"]
    )  # fmt: skip
    assert settings.config == {"vocab_size": 5} and settings.masking == {"mode": "span"}
    assert settings.jit_compile and not settings.recompute and settings.average == 0.5
    assert settings.warmup == 100.0
    _, settings = parse(["--config", "a/bert_config.json"])
    assert settings.config == "a/bert_config.json"


def test_settings_survive_json():
    settings = Settings(corpus="c", masking={"mode": "plain"}, average=0.5, config={"a": 1})
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": "ten"}, "steps must be int. Received: 'ten'"),
        ({"steps": True}, "steps must be int. Received: True"),
        ({"steps": 1.5}, "steps must be int"),
        ({"strategy": "gpu"}, "strategy must be one of one, mirrored, multiworker, tpu"),
        ({"average": 1.0}, "average must be between 0 and 1"),
        ({"batch_size": 6, "accumulation": 4}, "accumulation must divide batch_size"),
        ({"masking": []}, "masking must be dict"),
        ({"tpu": "local"}, "needs strategy 'tpu'"),
        ({"preset": "gpt4"}, "preset must be one of"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0"),
    ],
)
def test_wrong_values(values, message):
    with pytest.raises(ValueError, match=message):
        Settings.from_dict(values)


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(TypeError, match="learning_rate"):
        Settings.from_dict({"learning_rat": 1.0})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not a JSON file"),
        ("a.yaml", "a: [", "is not a YAML file"),
        ("a.yaml", "just words", "must hold lines of"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "is not a YAML file"),
    ],
)
def test_wrong_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / name)


def test_optimizers_neither_clip_nor_average():
    with pytest.raises(ValueError, match="must not hold global_clipnorm"):
        make_optimizer(Settings(optimizer_options={"global_clipnorm": 1.0}))
    with pytest.raises(ValueError, match="do not fit 'lamb'"):
        make_optimizer(Settings(optimizer="lamb", optimizer_options={"beta_3": 1.0}))


def test_free_settings_are_settings():
    assert FREE < FIELDS


@pytest.mark.parametrize("arguments", [["--help"], ["--list-presets"]])
def test_help(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (PRESETS if "--list" in arguments[0] else ("--average",)))
