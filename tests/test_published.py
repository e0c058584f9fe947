"""Every published checkpoint loads strictly (in small, with the real names)."""

from __future__ import annotations

import numpy as np
import pytest

from kerasbert import TransformerConfig
from tests.families import FAMILIES, bert

ENTRIES = [
    pytest.param(family, entry, id=f"{entry['name']}-{entry['framework']}")
    for family in FAMILIES
    for entry in family.published()
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "entry"), ENTRIES)
def test_published_checkpoint_loads(family, entry, tmp_path):
    model = family.load_published(entry, tmp_path)
    ids = np.array([[1, 2, 3, 0]])
    outputs = model([ids if "Token" in x.name else ids * 0 for x in model.inputs])
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    assert all(np.isfinite(np.asarray(x)).all() for x in outputs)


def test_there_are_entries(shared):
    assert len(ENTRIES) >= 55


def test_published_configs_say_what_they_say(shared):
    """Keys that mean nothing here are kept, and none of ours is misread."""
    for entry in bert.published():
        written = {key: value for key, value in entry["config"].items() if value is not None}
        again = TransformerConfig.from_dict(written).to_dict()
        # Left out when they are the defaults, which Google's readers do not know by name.
        again.setdefault("layer_norm_eps", 1e-12)
        again.setdefault("pad_token_id", 0)
        assert again.items() >= written.items(), entry["name"]
