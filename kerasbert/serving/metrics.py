"""Counters of a service in the text format that Prometheus reads."""

from __future__ import annotations

import collections
import os
import sys
from pathlib import Path

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Requests by path and status, and how long they took. Used from the event loop alone."""

    def __init__(self):
        self._requests: collections.Counter = collections.Counter()
        self._seconds: collections.Counter = collections.Counter()
        self._buckets: collections.Counter = collections.Counter()
        self._count: collections.Counter = collections.Counter()
        self.in_flight = 0

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Counts a request.

        Args:
            path: one of the service's own paths, or "other": names are kept for ever.
            status: of the answer.
            seconds: from its first to its last byte.
        """
        self._requests[path, status] += 1
        self._seconds[path] += seconds
        self._count[path] += 1
        for bound in _BUCKETS:
            if seconds <= bound:
                self._buckets[path, bound] += 1

    def render(self, batchers, streams: int) -> str:
        """The page ``/metrics``.

        Args:
            batchers: by name.
            streams: answers that are being streamed.
        """
        lines = ["# TYPE kerasbert_requests_total counter"]
        for (path, status), count in sorted(self._requests.items()):
            lines.append(f'kerasbert_requests_total{{path="{path}",status="{status}"}} {count}')
        lines.append("# TYPE kerasbert_request_seconds histogram")
        for path, count in sorted(self._count.items()):
            name = "kerasbert_request_seconds"
            for bound in _BUCKETS:
                within = self._buckets[path, bound]
                lines.append(f'{name}_bucket{{path="{path}",le="{bound:g}"}} {within}')
            lines.append(f'{name}_bucket{{path="{path}",le="+Inf"}} {count}')
            lines.append(f'{name}_sum{{path="{path}"}} {self._seconds[path]:.6f}')
            lines.append(f'{name}_count{{path="{path}"}} {count}')
        rows = [
            ("batches_total", "counter", "batches"),
            ("texts_total", "counter", "computed"),
            ("queue_texts", "gauge", "waiting"),
        ]
        for name, kind, attribute in rows:
            lines.append(f"# TYPE kerasbert_{name} {kind}")
            for task, batcher in batchers.items():
                lines.append(f'kerasbert_{name}{{task="{task}"}} {getattr(batcher, attribute)}')
        lines += ["# TYPE kerasbert_requests_in_flight gauge",
                  f"kerasbert_requests_in_flight {self.in_flight}",
                  "# TYPE kerasbert_streams gauge", f"kerasbert_streams {streams}"]  # fmt: skip
        memory = resident_bytes()
        if memory is not None:
            lines += ["# TYPE process_resident_memory_bytes gauge",
                      f"process_resident_memory_bytes {memory}"]  # fmt: skip
        return "\n".join(lines) + "\n"


def resident_bytes() -> int | None:
    """The memory of this process, where the system tells."""
    if not sys.platform.startswith("linux"):
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
