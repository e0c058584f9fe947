"""The bridge between Keras 2 and Keras 3, and that it is the only one."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasbert import backend
from kerasbert.backend import check_versions, keras, serializable, tf, variable_path

CHECKOUT = Path(__file__).resolve().parents[1]
BRIDGE = CHECKOUT / "kerasbert" / "backend.py"
ON_KERAS3 = pytest.mark.skipif(not backend.IS_KERAS3, reason="needs the Keras 3 stack")


# Versions: (TensorFlow, keras, legacy, tf-keras)

SUPPORTED = [
    ("2.15.0", "2.15.0", False, None),
    ("2.15.0.post1", "2.15.0", False, "2.15.1"),
    ("2.15.1", "2.15.0", True, "2.15.1"),
    ("2.15.1", "3.5.0", True, "2.15.1"),
    ("2.16.2", "3.3.3", False, None),
    ("2.18.1", "3.8.0", False, "2.15.1"),
    ("2.21.0", "3.15.1", False, None),
    ("2.21.0", "3.15.1", True, "2.21.0"),
    ("2.21.0", None, True, "2.21.0"),
    ("2.22.0-rc1", "3.16.0.dev2026082103", False, None),
]

# ... and what the sentence must name: what is there, and the command that helps.
UNSUPPORTED = [
    (("2.14.1", "2.14.0", False, None), ["2.15 or newer", "2.14.1", "--upgrade tensorflow"]),
    (("1.15.5", "2.3.1", False, None), ["2.15 or newer", "1.15.5"]),
    (("2.9.3", "2.9.0", True, "2.9.0"), ["2.15 or newer", "2.9.3"]),
    (("2.15.1", "3.15.1", False, "2.15.1"), ["Keras 2.15", "keras 3.15.1", "keras==2.15.*"]),
    (("2.15.1", None, False, None), ["Keras 2.15", "keras (none)", "keras==2.15.*"]),
    (("2.16.1", "2.15.0", False, None), ["Keras 3", "keras 2.15.0", "keras>=3"]),
    (("2.21.0", None, False, "2.21.0"), ["Keras 3", "keras (none)", "TF_USE_LEGACY_KERAS=1"]),
    (("2.21.0", "3.15.1", True, None), ["tf-keras (none)", "tf-keras==2.21.*"]),
    (("2.21.0", "3.15.1", True, "2.19.0"), ["tf-keras 2.19.0", "tf-keras==2.21.*"]),
    (("2.15.1", "2.15.0", True, None), ["tf-keras (none)", "tf-keras==2.15.*"]),
]


@pytest.mark.parametrize("versions", SUPPORTED)
def test_supported_versions_pass(versions):
    check_versions(*versions)


@pytest.mark.parametrize(("versions", "named"), UNSUPPORTED)
def test_unsupported_versions_get_one_plain_sentence(versions, named):
    with pytest.raises(ImportError) as caught:
        check_versions(*versions)
    sentence = str(caught.value)
    assert [part for part in named if part not in sentence] == []
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_the_installed_versions_pass():
    check_versions(
        tf.__version__,
        backend._installed("keras", "keras-nightly"),
        backend.LEGACY_KERAS,
        backend._installed("tf_keras", "tf_keras-nightly"),
    )


def test_installed_takes_the_first_that_is_there():
    assert backend._installed("no-such-thing", "numpy") == np.__version__
    assert backend._installed("no-such-thing") is None


# A fresh interpreter for each case: what a user sees at import.


def run_python(code: str, cwd: Path = CHECKOUT, **variables: str) -> subprocess.CompletedProcess:
    """Runs code with the checkout importable; a variable set to "" is taken away."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def import_error(result: subprocess.CompletedProcess) -> str:
    """The last line of the traceback, which has to be our ImportError."""
    assert result.returncode == 1, result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("ImportError: "), result.stderr
    return line


@pytest.mark.slow
@pytest.mark.skipif(
    # Not importorskip: in one process with Keras 2.15, tf_keras takes over the names under which
    # Keras loads layers, and loading a model goes on for ever.
    importlib.util.find_spec("tf_keras") is None,
    reason="needs tf-keras",
)
def test_legacy_variable_chooses_tf_keras(tmp_path):
    result = run_python(
        "from kerasbert.backend import IS_KERAS3, LEGACY_KERAS, keras\n"
        "print(IS_KERAS3, LEGACY_KERAS, keras.Model.__module__.split('.')[0])",
        cwd=tmp_path,
        TF_USE_LEGACY_KERAS="1",
    )
    assert result.stdout.split() == ["False", "True", "tf_keras"], result.stderr


@pytest.mark.slow
def test_without_the_variable_the_stack_is_the_installed_keras(tmp_path):
    result = run_python(
        "from kerasbert.backend import IS_KERAS3, LEGACY_KERAS, keras\n"
        "print(IS_KERAS3, LEGACY_KERAS, keras.Model.__module__.split('.')[0])",
        cwd=tmp_path,
        TF_USE_LEGACY_KERAS="",
    )
    is_keras3 = not tf.__version__.startswith("2.15.")
    assert result.stdout.split() == [str(is_keras3), "False", "keras"], result.stderr


@pytest.mark.smoke
def test_missing_tensorflow_is_said():
    line = import_error(
        run_python("import sys; sys.modules['tensorflow'] = None; import kerasbert")
    )
    assert "kerasbert needs TensorFlow: run `pip install tensorflow`" in line


def test_broken_tensorflow_is_said_with_its_cause(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('libcuda.so.1: not found')")
    line = import_error(
        run_python(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport kerasbert")
    )
    assert "kerasbert needs TensorFlow" in line
    assert "libcuda.so.1: not found" in line


def test_empty_tensorflow_folder_is_said(tmp_path):
    """Two wheels over one folder, one of them uninstalled: `import tensorflow` itself succeeds."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").touch()
    line = import_error(
        run_python(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport kerasbert")
    )
    assert "kerasbert needs TensorFlow" in line


def test_unsupported_pair_is_said_before_keras_is_imported(tmp_path):
    (tmp_path / "tensorflow.py").write_text("__version__ = '2.14.1'")
    line = import_error(
        run_python(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport kerasbert")
    )
    assert line == (
        "ImportError: kerasbert needs TensorFlow 2.15 or newer, but 2.14.1 is installed: "
        "run `pip install --upgrade tensorflow`."
    )


@ON_KERAS3
@pytest.mark.slow
def test_another_keras_backend_is_said():
    line = import_error(
        run_python(
            "import tensorflow as tf; tf.keras.config.backend = lambda: 'jax'; import kerasbert"
        )
    )
    assert "the backend is jax: set KERAS_BACKEND=tensorflow" in line


@ON_KERAS3
@pytest.mark.slow
def test_a_keras_backend_that_is_not_installed_is_said(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('no jax here')")
    line = import_error(
        run_python(
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport kerasbert",
            KERAS_BACKEND="jax",
        )
    )
    assert "Keras cannot be imported, it says: no jax here." in line
    assert "KERAS_BACKEND" in line


# One import: everything else takes `keras` from the bridge.

KERAS_PACKAGES = {"keras", "tf_keras"}


def keras_imports(source: str) -> list[str]:
    """The places where a source reaches Keras without the bridge."""
    found = []

    def note(node: ast.AST, name: str) -> None:
        parts = name.split(".")
        if parts[0] in KERAS_PACKAGES or (parts[0] == "tensorflow" and "keras" in parts):
            found.append(f"line {node.lineno}: {name}")

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                note(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                note(node, f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("tf", "tensorflow") and node.attr == "keras":
                note(node, "tensorflow.keras")
        elif isinstance(node, ast.Call) and getattr(
            node.func, "attr", getattr(node.func, "id", "")
        ) in ("import_module", "__import__"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    note(node, argument.value)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import keras",
        "import keras.layers as layers",
        "from keras import ops",
        "import tf_keras",
        "from tensorflow import keras",
        "import tensorflow.keras",
        "from tensorflow.keras.layers import Dense",
        "from tensorflow.python.keras import backend",
        "import tensorflow as tf\ntf.keras.Model()",
        "def late():\n    from keras.src import ops",
        "importlib.import_module('tf_keras')",
    ],
)
def test_every_way_around_the_bridge_is_found(source):
    assert len(keras_imports(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from kerasbert.backend import keras, tf\nkeras.layers.Dense(1)\ntf.nn.relu(x)",
        "import tensorflow as tf",
        "from .keras_h5 import read",
        "import kerasbert",
    ],
)
def test_the_bridge_itself_is_no_finding(source):
    assert keras_imports(source) == []


SOURCES = sorted((CHECKOUT / "kerasbert").rglob("*.py")) + sorted(
    (CHECKOUT / "pretraining").rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_keras_is_imported_in_the_bridge_alone(path):
    found = keras_imports(path.read_text(encoding="utf-8"))
    assert (found != []) == (path == BRIDGE), found


def test_the_bridge_is_short():
    assert len(BRIDGE.read_text(encoding="utf-8").splitlines()) <= 150


# What the bridge hands on.


@pytest.mark.smoke
def test_is_keras3_tells_the_stack():
    assert keras.Model.__module__.startswith("keras.src.models") == backend.IS_KERAS3
    if backend.LEGACY_KERAS:
        assert keras.Model.__module__.startswith("tf_keras.")


@pytest.mark.smoke
def test_variable_path_names_the_layer():
    layer = keras.layers.Dense(2, name="Pooler-Dense")
    backend.named_build(layer, (None, 3))
    assert [variable_path(weight) for weight in layer.weights] == [
        "Pooler-Dense/kernel",
        "Pooler-Dense/bias",
    ]


@pytest.mark.smoke
def test_named_build_does_not_build_twice():
    layer = keras.layers.Dense(2, name="Pooler-Dense")
    backend.named_build(layer, (None, 3))
    before = [weight.numpy() for weight in layer.weights]
    backend.named_build(layer, (None, 3))
    assert len(layer.weights) == 2
    np.testing.assert_array_equal(layer.weights[0].numpy(), before[0])


@pytest.mark.smoke
def test_dtype_policy_takes_a_name_a_policy_or_none():
    policy = backend.dtype_policy("mixed_bfloat16")
    assert (policy.compute_dtype, policy.variable_dtype) == ("bfloat16", "float32")
    assert backend.dtype_policy(policy) is policy
    assert backend.dtype_policy(None).compute_dtype == "float32"


@pytest.mark.smoke
def test_no_autocast_variable_keeps_its_dtype_in_a_mixed_layer():
    class Table(keras.layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(
                name="table", shape=(2,), dtype="float32", **backend.NO_AUTOCAST
            )
            self.cast = self.add_weight(name="cast", shape=(2,), dtype="float32")
            super().build(input_shape)

        def call(self, inputs):
            self.seen = [tf.convert_to_tensor(v).dtype.name for v in (self.table, self.cast)]
            return inputs

    layer = Table(dtype="mixed_bfloat16")
    layer(tf.zeros([1, 2]))
    assert layer.seen == ["float32", "bfloat16"]


@pytest.mark.smoke
def test_is_symbolic_tells_a_placeholder_from_a_tensor():
    assert backend.is_symbolic(keras.Input((3,))) == backend.IS_KERAS3
    assert not backend.is_symbolic(tf.zeros([1]))


@pytest.mark.smoke
def test_serializable_layer_comes_back_without_custom_objects(tmp_path):
    @serializable
    class BackendTestScale(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2.0

    inputs = keras.Input((3,))
    model = keras.Model(inputs, BackendTestScale()(inputs))
    model.save(tmp_path / "scale.keras")
    again = keras.models.load_model(tmp_path / "scale.keras")
    np.testing.assert_array_equal(again(np.ones((1, 3), "float32")), [[2.0, 2.0, 2.0]])


@pytest.mark.parametrize(("before", "after"), [("enable", True), ("disable", False)])
def test_the_import_leaves_the_garbage_collector_as_it_was(before, after):
    code = f"import gc; gc.{before}(); import kerasbert; print(gc.isenabled())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == [str(after)], result.stderr
