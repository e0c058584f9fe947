"""How much the two forms of gelu differ at BERT-base sizes, random weights: see loading.md."""

import numpy as np

from kerasbert import build_transformer_model
from kerasbert.backend import keras

keras.utils.set_random_seed(1)
config = {
    "vocab_size": 21128,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
models = [build_transformer_model(config, hidden_act=f"gelu_{form}") for form in ("erf", "tanh")]
models[1].set_weights(models[0].get_weights())
token_ids = np.random.default_rng(1).integers(1, 21128, (4, 32))
erf, tanh = (np.asarray(model([token_ids, 0 * token_ids])) for model in models)
print(f"largest difference {np.abs(erf - tanh).max():.1e}, standard deviation {erf.std():.2f}")
