"""Run by a test in a process of its own: loads a SavedModel without kerasbert.

Arguments: the folder, a JSON of {signature: {argument: value}}. Prints a JSON of the results.
"""

import json
import sys

sys.modules["kerasbert"] = None  # any import of it fails, wherever it is installed

import tensorflow as tf  # noqa: E402
import tensorflow_text  # noqa: E402, F401

loaded = tf.saved_model.load(sys.argv[1])
results = {"signatures": sorted(loaded.signatures)}
for name, arguments in json.loads(sys.argv[2]).items():
    found = loaded.signatures[name](**{key: tf.constant(x) for key, x in arguments.items()})
    results[name] = {
        key: [x.decode() for x in value.numpy().ravel()]
        if value.dtype == tf.string
        else value.numpy().tolist()
        for key, value in found.items()
    }
assert not [name for name in sys.modules if name.startswith("kerasbert.")]
print("RESULT" + json.dumps(results))
