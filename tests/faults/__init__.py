"""Breaks things on purpose: every family of faults is a module with `faults`, run by ``python -m tests.faults``."""
