"""The notebooks run from top to bottom, draw their pictures, and are kept without outputs."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
nbclient = pytest.importorskip("nbclient")

CHECKOUT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((CHECKOUT / "examples" / "notebooks").glob("*.ipynb"))


def read(path: Path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_kept_without_outputs(path):
    for cell in read(path).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook; what it printed, and its pictures."""
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    for name in ("IPYTHONDIR", "MPLCONFIGDIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))

    def run(name: str) -> tuple[str, list[bytes]]:
        (path,) = (path for path in NOTEBOOKS if path.stem == name)
        notebook = read(path)
        resources = {"metadata": {"path": str(path.parent)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        data = [output.get("data", {}) for output in outputs]
        pictures = [base64.b64decode(one["image/png"]) for one in data if "image/png" in one]
        for number, picture in enumerate(pictures):
            assert picture.startswith(b"\x89PNG")
            if "KERASBERT_PLOT" in os.environ:  # for looking at it
                plot = Path(os.environ["KERASBERT_PLOT"])
                plot.with_suffix(f".{name}.{number}.png").write_bytes(picture)
        return "".join(output.get("text", "") for output in outputs), pictures

    return run


@pytest.mark.either
@pytest.mark.slow
def test_quickstart(run):
    printed, pictures = run("quickstart")
    assert float(re.search(r"test accuracy: ([0-9.]+)", printed)[1]) > 0.95
    assert "Transformer-1-FeedForward-Norm" in printed and "fine_tuned.zip" in printed
    (curve,) = pictures
    assert len(curve) > 5000


@pytest.mark.either
@pytest.mark.slow
def test_sentence_vectors(run):
    printed, pictures = run("sentence_vectors")
    (untrained, before), (trained, after) = (
        map(float, found) for found in re.findall(r"Spearman ([0-9.]+).*top-1 ([0-9.]+)", printed)
    )
    assert trained > untrained + 0.1 and trained > 0.8
    assert after >= before and after > 0.85
    assert "VectorIndex(480 vectors of 128, with texts)" in printed
    first = printed.split("with texts)\n")[1].splitlines()[0]
    assert float(first.split()[0]) > 0.7 and "取消" in first and "订单" in first
    assert len(pictures) == 2
    assert all(len(picture) > 10_000 for picture in pictures)
