"""What it takes to load XLM-R XL (3.5 billion parameters) in bfloat16: peak memory and time.

    python docs/measure_large_model.py [--layers 36] [--folder DIR]

The checkpoint is made on the spot: the published names and shapes in three shards, every value 0
but each tensor's first, so that the files take hardly any disk space. It is loaded in a process of
its own, and deleted.
"""

import argparse
import json
import math
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = {
    "model_type": "xlm-roberta-xl",
    "vocab_size": 250880,
    "hidden_size": 2560,
    "num_attention_heads": 32,
    "intermediate_size": 10240,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
}
ONE = bytes.fromhex("803f")  # 1.0 in bfloat16, lowest byte first


def shapes(layers: int) -> dict[str, list[int]]:
    """Names and shapes of ``XLMRobertaXLForMaskedLM``, the tied output table left out."""
    vocab, hidden, inner = (CONFIG[f"{k}_size"] for k in ("vocab", "hidden", "intermediate"))
    found = {
        "roberta.embeddings.word_embeddings.weight": [vocab, hidden],
        "roberta.embeddings.position_embeddings.weight": [514, hidden],
        "roberta.embeddings.token_type_embeddings.weight": [1, hidden],
        "lm_head.bias": [vocab],
    }
    linear = {"lm_head.dense": (hidden, hidden)}
    norms = ["roberta.encoder.LayerNorm", "lm_head.layer_norm"]
    for i in range(layers):
        layer = f"roberta.encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{layer}.attention.{part}"] = (hidden, hidden)
        linear[f"{layer}.intermediate.dense"] = (inner, hidden)
        linear[f"{layer}.output.dense"] = (hidden, inner)
        norms += [f"{layer}.attention.self_attn_layer_norm", f"{layer}.LayerNorm"]
    for name, (rows, columns) in linear.items():
        found |= {f"{name}.weight": [rows, columns], f"{name}.bias": [rows]}
    for name in norms:
        found |= {f"{name}.weight": [hidden], f"{name}.bias": [hidden]}
    return found


def write(folder: Path, layers: int) -> int:
    """Writes configuration, index and shards; returns the bytes of all tensors."""
    (folder / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
    tensors = sorted(shapes(layers).items())
    listed, total = {}, 0
    for part in range(3):
        name = f"model-0000{part + 1}-of-00003.safetensors"
        header, offsets, size = {}, [], 0
        for tensor, shape in tensors[part::3]:
            end = size + 2 * math.prod(shape)
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [size, end]}
            offsets.append(size)
            size = end
            listed[tensor] = name
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for offset in offsets:
                file.seek(8 + len(text) + offset)
                file.write(ONE)
            file.truncate(8 + len(text) + size)
        total += size
    index = {"metadata": {"total_size": total}, "weight_map": listed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def load(folder: str) -> None:
    """Loads, and prints what it took as JSON."""
    import numpy as np

    from kerasbert import build_transformer_model

    start = memory()["VmRSS"]
    begin = time.perf_counter()
    model = build_transformer_model(folder, dtype="bfloat16", with_mlm=True)
    seconds, used = time.perf_counter() - begin, memory()
    assert all(np.asarray(variable).flat[0] == 1 for variable in model.variables)
    print(json.dumps({"seconds": seconds, "start": start, **used, "count": model.count_params()}))


def memory() -> dict[str, int]:
    """Bytes that this process has in memory, and the most that it had (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":") for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {key: 1024 * int(value.split()[0]) for key, value in fields.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--folder", help="where the checkpoint is made; the default is temporary")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.load:
        return load(chosen.load)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        size = write(Path(folder), chosen.layers)
        command = [sys.executable, __file__, "--load", folder]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    print(f"{found['count']:,} parameters, {size / 1e9:.2f} GB of weights")
    print(f"{found['start'] / 1e9:.2f} GB in memory after the imports")
    print(f"{found['VmRSS'] / 1e9:.2f} GB with the model loaded")
    print(f"{found['VmHWM'] / 1e9:.2f} GB at the peak: {found['VmHWM'] / size:.2f} x the weights")
    print(f"{found['seconds']:.1f} s to build and load")
    return None


if __name__ == "__main__":
    main()
