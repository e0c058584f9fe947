"""What all tests share: a quiet TensorFlow on the CPU, seeds, a cache of their own, shared data."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import zlib
from pathlib import Path

# Before TensorFlow is imported anywhere.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# What XLA compiles here runs once or twice.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if "PYTEST_XDIST_WORKER" in os.environ:  # one core each, or the workers wait for each other
    for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

CHECKOUT = Path(__file__).resolve().parents[1]
SEED = 20180810

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("quick", settings.get_profile("default"), max_examples=20)
# The same examples in every run: a failure in CI is a fact about the code, and can be repeated.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)


def pytest_configure(config):
    """No test reads or writes the cache of the person who runs it, or downloads a model."""
    # A shell makes what it runs in the background ignore Ctrl+C, which processes that tests start
    # and interrupt would inherit.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = tempfile.mkdtemp(prefix="kerasbert-tests-")
    ours = {"KERASBERT_HOME": home, "KERASBERT_OFFLINE": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)

    def restore():
        shutil.rmtree(home, ignore_errors=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    config.add_cleanup(restore)


def pytest_collection_modifyitems(config, items):
    """Leaves out cases of tests that have many, as ``KERASBERT_CASES`` says.

    ``most`` and ``rest``, which ``make test`` has on the two stacks, are three and two fifths, by
    chance: together they are all. Tests marked ``either`` are shared out file by file, and smoke
    tests are whole on both. ``few``, for ``make check``, are the first two.
    """
    which = os.environ.get("KERASBERT_CASES", "all")
    if which == "all":
        return
    cases: dict[str, list] = {}
    left = set()
    # Not by place: every second case of a test with True and False is one of the two.
    chosen = {"most": (0, 1, 2), "rest": (3, 4), "few": range(5)}[which]
    for item in items:
        if which != "few" and item.get_closest_marker("smoke"):
            continue
        if item.get_closest_marker("either"):
            if _fifth(item.nodeid.partition("::")[0]) not in chosen:
                left.add(item)
        elif hasattr(item, "callspec"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for members in cases.values():
        if which == "few":
            left.update(members[2:])
        elif len(members) > 3:
            left.update(item for item in members if _fifth(item.nodeid) not in chosen)
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


def _fifth(name: str) -> int:
    return zlib.crc32(name.encode()) % 5


@pytest.fixture(autouse=True)
def seeds():
    """Every test begins with the same random state, whatever ran before it."""
    random.seed(SEED)
    np.random.seed(SEED)
    backend = sys.modules.get("kerasbert.backend")
    if backend is not None:  # tests that need no TensorFlow do not import it
        backend.keras.utils.set_random_seed(SEED)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the checkout; without it the test is skipped."""
    folder = CHECKOUT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the shared data, a folder `shared` beside the checkout")
    return folder
