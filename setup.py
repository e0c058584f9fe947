"""Kept for tools that still call it: everything it needs is in pyproject.toml."""

from setuptools import setup

setup()
