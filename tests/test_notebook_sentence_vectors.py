"""The notebook on sentence vectors runs, learns, and draws; it is kept without outputs."""

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
NOTEBOOK = CHECKOUT / "examples" / "notebooks" / "sentence_vectors.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs():
    for cell in read().cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    for name in ("IPYTHONDIR", "MPLCONFIGDIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = read()
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    (untrained, before), (trained, after) = (
        map(float, found) for found in re.findall(r"Spearman ([0-9.]+).*top-1 ([0-9.]+)", printed)
    )
    assert trained > untrained + 0.1 and trained > 0.8
    assert after >= before and after > 0.85
    assert "VectorIndex(480 vectors of 128, with texts)" in printed
    first = printed.split("with texts)\n")[1].splitlines()[0]
    assert float(first.split()[0]) > 0.7 and "取消" in first and "订单" in first
    pictures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    for number, picture in enumerate(map(base64.b64decode, pictures)):
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
        if "KERASBERT_PLOT" in os.environ:  # for looking at it
            Path(os.environ["KERASBERT_PLOT"]).with_suffix(f".{number}.png").write_bytes(picture)
    assert len(pictures) == 2
