"""Each family against its recorded outputs and its published releases: one module per family.

A module has four functions: ``golden_cases()`` and ``compare(case, **options)`` (the largest
absolute difference from what was recorded), ``published()`` and ``load_published(entry, folder)``
(writes a release in small, under its real names and dtypes, and loads it strictly; not needed by a
family without releases). Both lists are empty where the recorded facts are absent. ``TINY`` is a
list of keyword arguments of ``build_transformer_model`` for small untrained models, which together
have all of the family's heads and applications: tests/test_families.py trains, saves and reloads
each of them.
"""

from __future__ import annotations

import importlib
import pkgutil

FAMILIES = [
    importlib.import_module(f"{__name__}.{module.name}")
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name)
]
