"""Published checkpoints: found, read, mapped and written."""
