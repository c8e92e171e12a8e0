"""Recognises that memory ran out, without the libraries whose errors may say so."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """True if this error says that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # An error of torch, which is loaded then.
    from segmentation import memory

    return memory.is_out_of_memory(error)
