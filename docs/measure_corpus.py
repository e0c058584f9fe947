"""Measures corpus preparation for docs/pretraining_corpus.md: characters/s, memory, same output.

    python docs/measure_corpus.py --input 'texts/*.txt' --vocab vocab.txt

Memory is what all processes hold together (proportional set size), sampled, so Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Prepares the texts with 1 and 2 processes for each segmenter, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--segmenters", nargs="+", default=["rjieba", "jieba", "none"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    given, further = parser.parse_known_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    *_, start, _ = run([sys.executable, "-m", "pretraining.corpus", "--help"])
    print(f"CPU seconds to start: {start:.1f}, not counted in the column per CPU second")
    print("segmenter  workers  characters/s  per CPU second  seconds  memory MB  same output")
    for segmenter in given.segmenters:
        outputs = set()
        for workers in given.workers:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "pretraining.corpus", "--input", *given.input]
                command += ["--vocab", given.vocab, "--output", folder, "--segmenter", segmenter]
                command += ["--workers", str(workers), *further]
                said, seconds, cpu, memory = run(command)
                outputs.add(digest(Path(folder)))
            rate = float(re.findall(r"([\d.]+)M characters/s", said)[-1])
            characters = int(re.search(r"([\d,]+) characters\n", said)[1].replace(",", ""))
            per_second = characters / (cpu - start) / 1e6
            print(
                f"{segmenter:9}  {workers:7}  {rate:10.2f} M  {per_second:12.2f} M"
                f"  {seconds:7.1f}  {memory / 2**20:9.0f}  {len(outputs) == 1}",
                flush=True,
            )


def run(command: list[str]) -> tuple[str, float, float, int]:
    """Runs a command: what it said, wall-clock and CPU seconds, and the most memory in bytes."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        most = 0
        while process.poll() is None:
            most = max(most, sum(map(proportional_size, family(process.pid))))
            time.sleep(0.2)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(text)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return text, time.monotonic() - began, cpu, most


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in family(int(child)))]


def proportional_size(pid: int) -> int:
    """Bytes of memory, those that several processes share divided by their number."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"Pss: +(\d+)", text)[1])


def digest(folder: Path) -> str:
    """A hash of all shards."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.tfrecord.gz")):
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
