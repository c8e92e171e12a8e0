"""Breaks things on purpose. Each module with a function `faults` injects one family of faults."""
