"""Checkpoint formats: each opens a file, names its tensors, and reads those that are asked for."""
