"""The one bridge between Keras 2 and Keras 3: every other module imports ``keras`` from here.

Three stacks run the same code: TensorFlow 2.18 to 2.21 with Keras 3; TensorFlow 2.15 with Keras
2.15 (the only one that tensorflow-addons works on); and TensorFlow 2.16 to 2.21 with tf-keras,
chosen by ``TF_USE_LEGACY_KERAS=1``.
"""

from __future__ import annotations

import os
import re
from importlib import metadata


def _installed(*distributions: str) -> str | None:
    """The version of the first of these distributions that is installed, or None."""
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def check_versions(tensorflow: str, keras: str | None, legacy: bool, tf_keras: str | None) -> None:
    """Raises ImportError, in one plain sentence, for a pair of versions that cannot work.

    Args:
        tensorflow: version string of the TensorFlow that was imported.
        keras: version of the installed ``keras`` distribution, or None.
        legacy: whether ``TF_USE_LEGACY_KERAS`` asks for tf-keras.
        tf_keras: version of the installed ``tf_keras`` distribution, or None.
    """
    release = tuple(int(part) for part in tensorflow.split(".")[:2])
    keras_major = int(keras.split(".")[0]) if keras else None
    keras = keras or "(none)"
    if release < (2, 15):
        problem = (
            f"kerasbert needs TensorFlow 2.15 or newer, but {tensorflow} is installed: "
            "run `pip install --upgrade tensorflow`."
        )
    elif legacy:
        if tf_keras and tuple(int(part) for part in tf_keras.split(".")[:2]) == release:
            return
        problem = (
            f"TF_USE_LEGACY_KERAS asks for tf-keras {release[0]}.{release[1]}, "
            f"but tf-keras {tf_keras or '(none)'} is installed: "
            f"run `pip install 'tf-keras=={release[0]}.{release[1]}.*'` or unset the variable."
        )
    elif release == (2, 15):
        if keras_major == 2:
            return
        problem = (
            f"TensorFlow {tensorflow} needs Keras 2.15, but keras {keras} is installed: "
            "run `pip install 'keras==2.15.*'` or upgrade TensorFlow to 2.18 or newer."
        )
    elif keras_major == 3:
        return
    else:
        problem = (
            f"TensorFlow {tensorflow} needs Keras 3, but keras {keras} is installed: "
            "run `pip install 'keras>=3'`, or set TF_USE_LEGACY_KERAS=1 with tf-keras installed."
        )
    raise ImportError(problem)


try:
    import tensorflow as tf

    _TENSORFLOW = tf.__version__  # absent from the empty folder that a broken uninstall leaves
except (ImportError, AttributeError) as error:
    raise ImportError(
        "kerasbert needs TensorFlow: run `pip install tensorflow` (or tensorflow-cpu or "
        f"tensorflow-tpu; the README says how). The import said: {error}"
    ) from error

# TensorFlow itself understands these three spellings and no other.
LEGACY_KERAS = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True")
check_versions(
    _TENSORFLOW,
    _installed("keras", "keras-nightly"),
    LEGACY_KERAS,
    _installed("tf_keras", "tf_keras-nightly"),
)

from tensorflow import keras  # noqa: E402  (after the check: its own failure is unreadable)

try:
    # Keras 2 has no `version` function; this is how keras-nlp told the two apart as well.
    IS_KERAS3 = hasattr(keras, "version")
    _ENGINE = keras.config.backend() if IS_KERAS3 else "tensorflow"
except ImportError as error:  # TensorFlow's lazy loader hides the cause, such as "no module jax"
    raise ImportError(
        f"Keras cannot be imported, it says: {error.__context__ or error}. Is it installed, and "
        "is its backend TensorFlow (KERAS_BACKEND, or `backend` in ~/.keras/keras.json)?"
    ) from error
if _ENGINE != "tensorflow":
    raise ImportError(
        f"kerasbert needs Keras's TensorFlow backend, but the backend is {_ENGINE}: set "
        "KERAS_BACKEND=tensorflow, or correct `backend` in ~/.keras/keras.json."
    )


def serializable(cls):
    """Registers a class so that saved models load without ``custom_objects``."""
    return keras.utils.register_keras_serializable(package="kerasbert")(cls)


def variable_path(variable) -> str:
    """The variable's full path, ``Embedding-Norm/gamma``, on every stack and replica."""
    # Keras 3 keeps it in `path`; Keras 2 in `name`. Copies of mirrored ones end in /replica_1.
    return re.sub(r"/replica_\d+$", "", getattr(variable, "path", variable.name.split(":")[0]))


def tensorflow_variable(variable) -> tf.Variable:
    """TensorFlow's own variable in one of Keras 3, or in one of Keras 2 that casts itself."""
    inner = variable.value if IS_KERAS3 and isinstance(variable, keras.Variable) else variable
    return getattr(inner, "_variable", inner)


def dtype_policy(dtype):
    """A Keras dtype policy from a name, a policy or None (the global policy)."""
    if dtype is None:
        return keras.mixed_precision.global_policy()
    if isinstance(dtype, str):
        return keras.mixed_precision.Policy(dtype)
    return dtype


# Keyword of `add_weight` for a variable that a layer casts itself.
NO_AUTOCAST = {"autocast": False} if IS_KERAS3 else {"experimental_autocast": False}


def symbolic_tensor(shape, dtype):
    """What `compute_output_spec` returns in Keras 3 (Keras 2 traces `call` instead)."""
    return keras.KerasTensor(shape, dtype=dtype)


def named_build(sublayer, input_shape) -> None:
    """Builds a sublayer so that its variables' names begin with its own on Keras 2 as well."""
    if sublayer.built:
        return
    with tf.name_scope(sublayer.name):
        sublayer.build(input_shape)
        sublayer.built = True


def is_symbolic(tensor) -> bool:
    """Whether this is Keras 3's placeholder, on which TensorFlow operations do not work."""
    return IS_KERAS3 and isinstance(tensor, keras.KerasTensor)
