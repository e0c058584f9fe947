"""What ``recompute=True`` costs and saves: one training step of BERT-base, each in its own process.

    python docs/measure_recompute.py [--batch 8] [--length 256] [--dtype float32]

See fine_tuning.md. Peak memory is the process's own, over what it is after the import.
"""

import argparse
import resource
import subprocess
import sys
import time


def measure(recompute: bool, batch: int, length: int, dtype: str) -> None:
    """Trains a few steps and prints megabytes and seconds."""
    import numpy as np

    from kerasbert import build_transformer_model
    from kerasbert.backend import keras

    model = build_transformer_model(
        vocab_size=21128,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        with_pool=True,
        recompute=recompute,
        dtype=dtype,
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ids = np.random.default_rng(1).integers(1, 21128, (batch, length))
    targets = np.zeros((batch, 768), "float32")
    seconds = []
    for _ in range(4):
        begin = time.perf_counter()
        model.train_on_batch([ids, 0 * ids], targets)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((peak - start) / 1024, min(seconds[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--recompute", choices=["0", "1"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.recompute:
        return measure(chosen.recompute == "1", chosen.batch, chosen.length, chosen.dtype)
    found = {}
    for recompute in ("0", "1"):
        command = [sys.executable, __file__, *sys.argv[1:], "--recompute", recompute]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[recompute] = [float(number) for number in output.split()[-2:]]
        megabytes, seconds = found[recompute]
        print(f"recompute={recompute == '1'!s:<5}  {megabytes:,.0f} MB  {seconds:.2f} s per step")
    (memory, time_), (memory_, time__) = found["0"], found["1"]
    print(f"memory {memory_ / memory:.2f} x, time {time__ / time_:.2f} x")
    return None


if __name__ == "__main__":
    main()
