"""The harness's own logic: no peers, no timing."""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "specs.py").exists():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command_line  # noqa: E402
from benchmarks import report, specs, texts, vocabularies, weights  # noqa: E402
from benchmarks.cases import Case  # noqa: E402
from benchmarks.settings import Settings, default_interpreters  # noqa: E402
from benchmarks.workers import Worker, WorkerError, interleave  # noqa: E402

# What people say on the command line.


def test_contender_with_and_without_mode():
    assert specs.Contender.parse("huggingface") == specs.Contender("huggingface", "")
    assert str(specs.Contender.parse("keras_hub:predict")) == "keras_hub:predict"


def test_unknown_side_is_named():
    with pytest.raises(ValueError, match=r"keras_bert.*Choose from: kerasbert, huggingface"):
        specs.Contender.parse("keras_bert:predict")


def test_every_row_has_known_contenders_and_starts_with_ours():
    for row in specs.ROWS.values():
        for variant in row.variants:
            contenders = row.default_contenders(variant)
            assert str(contenders[0]) == specs.BASELINE
            assert len(set(contenders)) == len(contenders)


def test_every_row_has_the_same_sizes_quick_and_full():
    for row in specs.ROWS.values():
        assert set(row.sizes) == set(row.quick)
        row.what.format(**row.sizes)


def test_rows_come_in_the_order_of_the_table():
    assert [row.name for row in specs.parse_rows(["tokenise", "load"])] == ["load", "tokenise"]
    assert len(specs.parse_rows([])) == len(specs.parse_rows(["all"])) == len(specs.ROWS)


def test_unknown_row_is_named():
    with pytest.raises(ValueError, match="backward"):
        specs.parse_rows(["forward", "backward"])


def test_sizes_change_where_they_apply():
    forward, tokenise = specs.ROWS["forward"], specs.ROWS["tokenise"]
    changed = specs.parse_sizes(forward, False, ["length=64", "characters=9", "warmup=0"])
    assert changed == {**forward.sizes, "length": 64, "warmup": 0}
    assert specs.parse_sizes(tokenise, True, ["length=64"]) == tokenise.quick
    assert forward.sizes["length"] == 128


@pytest.mark.parametrize("change", ["length", "length=", "length=-1", "rounds=0", "width=3"])
def test_wrong_sizes_are_refused(change):
    with pytest.raises(ValueError, match="Received"):
        specs.parse_sizes(specs.ROWS["forward"], False, [change])


def test_interpreters_come_from_the_environment_or_their_folders(tmp_path):
    found = default_interpreters(tmp_path, {"KERASBERT_BENCH_PYTHON_KERAS_HUB": "other/python"})
    assert found["keras_hub"] == "other/python"
    assert found["huggingface"] == str(tmp_path / ".venv-bench-huggingface/bin/python")
    assert found["kerasbert"] == sys.executable


def test_interpreter_option():
    assert command_line.parse_interpreter("huggingface=x/python") == ("huggingface", "x/python")
    for wrong in ("huggingface", "=x", "torch=x"):
        with pytest.raises(command_line.argparse.ArgumentTypeError):
            command_line.parse_interpreter(wrong)


def test_results_do_not_tell_paths():
    shown = command_line.shown_command(
        ["forward", "--data", "/a/b", "--assets=/c", "--python", "huggingface=/d", "--quick"]
        + ["--python=keras_hub=/e", "--set", "rounds=5"]
    )
    assert shown == (
        "python -m benchmarks forward --data DIR --assets DIR --python huggingface=PYTHON --quick"
        " --python keras_hub=PYTHON --set rounds=5"
    )


def test_wrong_row_ends_the_program_with_a_message(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["backward"])
    assert ended.value.code == 2
    assert "backward" in capsys.readouterr().err


# Ratios, checks, tables and files.


def test_ratio_is_the_median_of_each_rounds_own_ratio():
    # A slow machine in round 2 slows both sides; the ratio of the medians would be 3 / 2.
    assert report.ratio([2.0, 40.0, 3.0], [1.0, 20.0, 2.0]) == {
        "median": 2.0,
        "lowest": 1.5,
        "highest": 2.0,
    }


@pytest.mark.parametrize("peer, baseline", [([], []), ([1.0], [1.0, 2.0])])
def test_ratio_needs_equally_many_rounds(peer, baseline):
    with pytest.raises(ValueError, match="equally many"):
        report.ratio(peer, baseline)


def test_compare_floats():
    found = report.compare({"hidden": np.ones((2, 3))}, {"hidden": np.full((2, 3), 0.75)})
    assert found == {"largest_difference": 0.25, "mean_difference": 0.25}


def test_compare_refuses_other_shapes_and_names():
    with pytest.raises(ValueError, match="shape"):
        report.compare({"hidden": np.ones((2, 3))}, {"hidden": np.ones((3, 2))})
    with pytest.raises(ValueError, match="logits"):
        report.compare({"hidden": np.ones(2)}, {"logits": np.ones(2)})


def ragged(*rows):
    return {"ids": np.concatenate(rows), "lengths": np.array([len(row) for row in rows])}


def test_compare_counts_texts_with_other_ids():
    ours = ragged([1, 2], [3], [4, 5])
    assert report.compare(ours, ours) == {"texts": 3, "texts_that_differ": 0}
    moved = ragged([1], [2, 3], [4, 5])  # the same ids in a row, cut elsewhere
    assert report.compare(moved, ours) == {"texts": 3, "texts_that_differ": 2}
    with pytest.raises(ValueError, match="3 texts"):
        report.compare(ragged([1, 2], [3]), ours)


@pytest.fixture
def case():
    contenders = {
        "kerasbert": {"seconds": [1.0, 2.0], "first_call": 3.5},
        "huggingface": {
            "seconds": [2.0, 5.0],
            "first_call": 0.0042,
            "check": {"largest_difference": 2e-6, "mean_difference": 1e-7},
        },
        "keras_hub": {"problem": "no environment for keras_hub: see benchmarks/README.md"},
    }
    made = {"row": "forward", "variant": "float32", "what": "some work", "baseline": "kerasbert"}
    made["contenders"] = contenders
    report.add_ratios(made)
    return made


def test_ratios_are_added_where_there_are_rounds(case):
    contenders = case["contenders"]
    assert contenders["kerasbert"]["ratio"]["median"] == 1.0
    assert contenders["huggingface"]["ratio"] == {"median": 2.25, "lowest": 2.0, "highest": 2.5}
    assert "ratio" not in contenders["keras_hub"]


def test_no_ratios_without_the_baseline(case):
    for result in case["contenders"].values():
        result.pop("ratio", None)
    case["contenders"]["kerasbert"] = {"problem": "it broke"}
    report.add_ratios(case)
    assert not any("ratio" in result for result in case["contenders"].values())


def test_table(case):
    assert report.table(case).splitlines() == [
        "forward, float32: some work (ratio: time / kerasbert)",
        "contender    median  ratio  lowest to highest  first call  differs by",
        "kerasbert    1.5 s   1.00   1.00 to 1.00       3.5 s",
        "huggingface  3.5 s   2.25   2.00 to 2.50       4.2 ms      2.0e-06",
        "keras_hub    no environment for keras_hub: see benchmarks/README.md",
    ]


def test_json_is_whole_or_absent(tmp_path, case):
    path = tmp_path / "results" / "forward.json"
    report.write_json(path, {"cases": [case]})
    assert report.read_results(path.parent) == [case]
    with pytest.raises(TypeError):
        report.write_json(path, {"cases": [object()]})
    assert [found.name for found in path.parent.iterdir()] == ["forward.json"]
    assert report.read_results(path.parent) == [case]


def test_variants_not_run_again_are_kept(tmp_path, case):
    other = {**case, "variant": "bfloat16"}
    command_line.write_row(tmp_path, "forward", [other])
    command_line.write_row(tmp_path, "forward", [{**case, "date": "old"}])
    command_line.write_row(tmp_path, "forward", [{**case, "date": "new"}])
    found = report.read_results(tmp_path)
    assert [one["variant"] for one in found] == ["float32", "bfloat16"]
    assert found[0]["date"] == "new"


@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")
@pytest.mark.slow
def test_plot(tmp_path, case):
    report.plot([case, {**case, "variant": "bfloat16"}], tmp_path / "ratios.png")
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.png"]
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


def test_cpu_has_no_host_name():
    assert set(command_line.cpu()) == {"name", "instruction_sets"}


# Texts and weights.


def test_synthetic_pairs_have_recorded_lengths():
    pairs = texts.pairs(None, 2000, seed=3)
    lengths = np.array([[len(first), len(second)] for first, second, _ in pairs])
    assert lengths.min() >= 2
    assert 9 <= np.median(lengths[:, 0]) <= 11
    assert 20 <= (lengths.sum(axis=1) + 3).mean() <= 30
    assert {label for *_, label in pairs} == {0, 1}
    assert pairs == texts.pairs(None, 2000, seed=3)


def test_real_pairs_come_from_a_folder(tmp_path):
    (tmp_path / "deep" / "lcqmc").mkdir(parents=True)
    lines = ["text_a\ttext_b\tlabel", "一\t二\t1", "三\t四\t0", "broken line"]
    (tmp_path / "deep" / "lcqmc" / "train.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert sorted(texts.pairs(tmp_path, 2)) == [("一", "二", 1), ("三", "四", 0)]


def test_long_texts_are_long():
    for made in texts.text_sets("long_text", None, 10_000, count=2):
        assert all(len(text) == 2000 for text in made[:-1])
        assert sum(map(len, made)) >= 10_000


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("variant", specs.ROWS["tokenise"].variants)
def test_no_set_repeats_another(variant, language):
    sets = texts.text_sets(variant, None, 20_000, count=3, language=language)
    assert len({text for one in sets for text in one}) == sum(map(len, sets))
    characters = 1000 if variant == "single_call" else 20_000
    assert all(sum(map(len, one)) >= characters for one in sets)


def test_english_texts_come_from_a_folder(tmp_path):
    (tmp_path / "english.txt").write_text("All of it,\nword by word. " * 99, encoding="utf-8")
    (found,) = texts.text_sets("questions", tmp_path, 1000, count=1, language="en")
    assert set(" ".join(found).split()) >= {"All", "of", "it,", "word", "by", "word."}
    with pytest.raises(ValueError, match="too few texts"):
        texts.text_sets("questions", tmp_path, 9000, count=1, language="en")


def test_made_up_tokenizers_can_be_used(tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    pytest.importorskip("sentencepiece")
    from kerasbert.tokenizers import Tokenizer

    learn = functools.partial(vocabularies.learn_bpe, 400)
    monkeypatch.setattr(vocabularies, "learn_bpe", lambda size: learn())
    vocabularies.write_all(tmp_path, None)
    for name, language in (("roberta", "en"), ("xlmr", "zh")):
        tokenizer = Tokenizer.from_pretrained(tmp_path / name)
        (made,) = texts.text_sets("questions", None, 500, count=1, language=language)
        ids = tokenizer(made, padding=False, return_tensors=None)["token_ids"]
        assert max(map(max, ids)) > 50 and all(tokenizer.unk_id not in row for row in ids)


def test_too_little_data_is_said(tmp_path):
    (tmp_path / "chnsenticorp").mkdir()
    (tmp_path / "chnsenticorp" / "train.tsv").write_text("label\ttext\n1\t好\n")
    with pytest.raises(ValueError, match="too few texts"):
        texts.text_sets("reviews", tmp_path, 100, count=1)


def test_synthetic_vocabulary_has_no_duplicates():
    made = texts.vocabulary(None, 21128)
    assert len(made) == len(set(made)) == 21128
    assert made[:3] == ["[PAD]", "[UNK]", "[CLS]"]


def test_base_has_the_published_number_of_parameters():
    shapes = weights.shapes(weights.config_for("base"))
    body = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("bert/"))
    assert body == 102_267_648
    assert shapes["bert/encoder/layer_11/intermediate/dense/kernel"] == (768, 3072)


@pytest.mark.parametrize(
    "google, huggingface",
    [
        ("bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings.weight"),
        ("bert/embeddings/LayerNorm/gamma", "bert.embeddings.LayerNorm.weight"),
        (
            "bert/encoder/layer_11/attention/self/query/kernel",
            "bert.encoder.layer.11.attention.self.query.weight",
        ),
        ("bert/encoder/layer_0/output/dense/bias", "bert.encoder.layer.0.output.dense.bias"),
        ("bert/pooler/dense/kernel", "bert.pooler.dense.weight"),
        ("cls/predictions/transform/LayerNorm/beta", "cls.predictions.transform.LayerNorm.bias"),
        ("cls/predictions/output_bias", "cls.predictions.bias"),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight"),
        ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias"),
    ],
)
def test_huggingface_names(google, huggingface):
    assert weights.huggingface_name(google) == huggingface


def test_safetensors_layout(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "model.safetensors"
    weights.write_safetensors(path, {"a": kernel.T, "b": np.ones(1, np.float32)})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert header["a"] == {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
    assert header["b"]["data_offsets"] == [24, 28]
    assert np.frombuffer(content[8 + length :], "<f4").tolist() == [0, 3, 1, 4, 2, 5, 1]


# Workers: processes that need nothing but numpy.

SIDE = """
import numpy as np
from benchmarks.sides.protocol import Side, serve

class Fake(Side):
    def imports(self):
        print("a library that prints on import")
        return {"fake": "1"}

    def prepare_forward(self):
        if self.job["mode"] == "lazy":
            self.work = self.result = lambda: {"hidden": np.ones(1)}
            return
        if self.job["mode"] == "broken":
            raise OSError("no such weights")
        arrays = self.read_inputs()
        self.work = lambda: 0.5
        self.result = lambda: {"hidden": arrays["token_ids"] * 1.0}
        return {"threads": self.threads}

    prepare_load = prepare_forward

    def prepare_tokenise(self):
        self.tokenise_with(lambda texts: [[len(text)] for text in texts], lambda text: [len(text)])

serve(Fake())
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    package = tmp_path / "fake_sides"
    package.mkdir()
    for side in ("kerasbert", "huggingface"):
        (package / f"{side}.py").write_text(SIDE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.cases.busy_share", lambda: 0.25)
    return Settings(
        interpreters={"kerasbert": sys.executable, "huggingface": sys.executable},
        assets=tmp_path / "assets",
        model="tiny",
        data=None,
        threads=1,
        echo=lambda line: None,
        module="fake_sides.{side}",
    )


def run(settings, row, variant, *names, **sizes):
    contenders = [specs.Contender.parse(name) for name in names]
    sizes = {"batch": 2, "length": 4, "rounds": 2, "warmup": 1, **sizes}
    return Case(specs.ROWS[row], variant, contenders, sizes, settings).run()


def test_case_with_a_missing_environment_and_a_broken_side(settings):
    names = ("kerasbert", "huggingface", "huggingface:broken", "huggingface:lazy", "bert4keras")
    case = run(settings, "forward", "float32", *names)
    results = case["contenders"]
    assert len(results["kerasbert"]["seconds"]) == 2
    assert results["huggingface"]["check"]["largest_difference"] == 0.0
    assert results["huggingface"]["ratio"]["median"] > 0
    assert results["huggingface"]["losses"] == [0.5] * 3
    assert results["huggingface"]["info"] == {"threads": 1}
    assert "OSError: no such weights" in results["huggingface:broken"]["problem"]
    assert "lazy did other work: Expected hidden" in results["huggingface:lazy"]["problem"]
    assert "no environment for bert4keras" in results["bert4keras"]["problem"]
    assert case["others_busy"] == [0.25, 0.25]
    json.dumps(case)
    log = (settings.assets / "logs" / "huggingface.log").read_text()
    assert "a library that prints" in log and "Traceback" in log


def test_cold_case_starts_a_process_for_every_round(settings):
    case = run(settings, "load", "float32", "kerasbert", "huggingface")
    results = case["contenders"]["huggingface"]
    assert len(results["seconds"]) == 2
    assert len(results["load_seconds"]) == 3  # with the warm-up
    assert results["check"]["largest_difference"] == 0.0
    if Path("/proc/self/status").exists():
        assert results["peak_over_import"] >= 0


@pytest.mark.parametrize("variant", ["reviews", "single_call"])
def test_case_of_texts(settings, variant):
    case = run(settings, "tokenise", variant, "kerasbert", "huggingface", characters=200)
    check = case["contenders"]["huggingface"]["check"]
    assert check["texts_that_differ"] == 0 < check["texts"]
    assert len(case["contenders"]["huggingface"]["seconds"]) == 2
    assert case["text_bytes"] > 0


def test_a_row_that_a_side_does_not_do_is_its_problem_only(settings):
    case = run(settings, "train_step", "float32", "kerasbert")
    assert "does not do the row 'train_step'" in case["contenders"]["kerasbert"]["problem"]


def test_worker_that_ends_or_hangs_is_reported(tmp_path):
    log = tmp_path / "worker.log"
    with Worker("gone", [sys.executable, "-c", ""], log, 1) as worker:
        with pytest.raises(WorkerError, match="gone"):
            worker.ask("import")
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Worker("asleep", sleep, log, 1, timeout=0.2) as worker:
        with pytest.raises(WorkerError, match=r"asleep took over 0\.2 s"):
            worker.ask("import")


def test_rounds_alternate_and_a_failing_contender_drops_out():
    calls, generator = [], random.Random(0)

    def timed(name, failing=False):
        def once():
            calls.append(name)
            if failing and len(calls) > 4:
                raise WorkerError("broke")
            return generator.random()

        return once

    seconds = interleave({"a": timed("a"), "b": timed("b", True), "c": timed("c")}, 2, 1)
    assert "".join(calls) == "abc" + "abc" + "ac"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "c": 2}
