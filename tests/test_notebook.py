"""The notebook runs from top to bottom, draws its curve, and is kept without outputs."""

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
NOTEBOOK = CHECKOUT / "examples" / "notebooks" / "quickstart.ipynb"


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
    assert float(re.search(r"test accuracy: ([0-9.]+)", printed)[1]) > 0.95
    assert "Transformer-1-FeedForward-Norm" in printed and "fine_tuned.zip" in printed
    (plot,) = (o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {}))
    png = base64.b64decode(plot)
    assert png.startswith(b"\x89PNG") and len(png) > 5000
    if "KERASBERT_PLOT" in os.environ:  # for looking at it
        Path(os.environ["KERASBERT_PLOT"]).write_bytes(png)
