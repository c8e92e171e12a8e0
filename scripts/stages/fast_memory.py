"""Quicker memory for training on the CPU."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory instead of returning it to the system after every tensor.

    Otherwise each step of a training asks for the same pages again and pays for clearing them, which can
    take longer than the arithmetic. Returns False where the C library has no such setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(M_MMAP_MAX, 0) and set_option(M_TRIM_THRESHOLD, LARGEST_INT))
