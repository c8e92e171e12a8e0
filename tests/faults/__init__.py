"""Breaks things on purpose: each family of faults is a module with `faults`, for ``python -m tests.faults``."""
