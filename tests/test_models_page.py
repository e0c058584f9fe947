"""docs/models.md says what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kerasbert import list_models

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "make_models.py"


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in written for name in list_models())
    assert written == module.page(), "run: python docs/make_models.py"
