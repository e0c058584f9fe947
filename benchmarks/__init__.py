"""One benchmark harness: kerasbert and its peers on the same work, interleaved (see README.md)."""
