"""One worker program per side; each runs in the Python environment of that side."""
