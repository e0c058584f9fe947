"""Whole-word-masking pretraining: from raw text to a published checkpoint, or on from one."""
