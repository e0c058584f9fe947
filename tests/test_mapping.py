"""Mapping rows: both ways, and the selection of vocabulary rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbert.backend import tf
from kerasbert.checkpoints.mapping import (
    JOINED,
    Op,
    Row,
    TokenSelection,
    dense,
    expand,
    loaded_shape,
    on_load,
    on_save,
)
from kerasbert.models import registry

ALL = TokenSelection()
THIRDS = (Op.FIRST_THIRD, Op.SECOND_THIRD, Op.LAST_THIRD)


@pytest.mark.parametrize("op", list(Op))
def test_what_is_saved_loads_as_it_was(op):
    value = np.arange(12.0).reshape(3, 4)
    saved = on_save(op, value)
    if op in THIRDS:
        parts = [np.zeros_like(value)] * 3
        parts[THIRDS.index(op)] = saved
        saved = tf.concat(parts, JOINED[op])
    np.testing.assert_array_equal(np.asarray(on_load(op, saved, ALL)), value)
    assert loaded_shape(op, tuple(saved.shape), ALL) == value.shape


def test_rows_are_written_out_for_every_block():
    rows = expand(dense("Block-{i}/x", "layer_{i}/y") + (Row("a", "b"),), 2)
    assert [(row.variable, row.tensor) for row in rows] == [
        ("Block-0/x/kernel", "layer_0/y/kernel"),
        ("Block-1/x/kernel", "layer_1/y/kernel"),
        ("Block-0/x/bias", "layer_0/y/bias"),
        ("Block-1/x/bias", "layer_1/y/bias"),
        ("a", "b"),
    ]


@pytest.mark.parametrize("family", registry.families(), ids=lambda family: family.family)
def test_every_family_names_each_variable_once(family):
    for table in family.tables:
        rows = expand(table.rows, 3)
        assert len({row.variable for row in rows}) == len(rows)


tables = st.integers(1, 6).flatmap(
    lambda rows: st.tuples(
        st.just(np.random.default_rng(rows).standard_normal((rows, 3)).astype("f")),
        st.none() | st.lists(st.integers(0, rows - 1), min_size=1, max_size=8),
    )
)


@given(tables, st.data())
def test_selection_against_plain_python(table_and_keep, data):
    table, keep = table_and_keep
    kept = table if keep is None else table[keep]
    ids = st.lists(st.integers(0, len(kept) - 1), min_size=1, max_size=4)
    compound = data.draw(st.lists(ids, max_size=3))
    weighted = [(item, [float(i + 1) for i in range(len(item))]) for item in compound]
    for items, average in (
        (compound, lambda item: kept[item].mean(0)),
        (weighted, lambda item: np.average(kept[item[0]], axis=0, weights=item[1])),
    ):
        selection = TokenSelection(keep, items)
        expected = np.concatenate([kept, *[average(item)[None] for item in items]])
        result = np.asarray(selection.apply(table))
        assert result.shape[0] == selection.size(len(table))
        np.testing.assert_allclose(result, expected, atol=1e-6)
