"""Recognises a full disk, which the libraries that write files report in different ways."""

from __future__ import annotations

import errno
import re

ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# safetensors puts the system's number into its text; numpy and torch only notice that bytes are missing.
SAFETENSORS_TEXT = re.compile(rf"os error ({'|'.join(map(str, sorted(ERRNOS)))})\b")
NUMPY_TEXT = re.compile(r"\d+ requested and \d+ written")
TORCH_TEXT = re.compile(r"inline_container\.cc.*(unexpected pos|failed writing)", re.DOTALL)


def writing_errors() -> tuple[type[Exception], ...]:
    """Exception types that a full disk may show itself as."""
    from safetensors import SafetensorError

    return OSError, RuntimeError, SafetensorError


def is_disk_full(error: BaseException) -> bool:
    """True if this error, or one that led to it, says that the disk, quota or file size limit is reached."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in ERRNOS:
            return True
        if any(pattern.search(str(seen)) for pattern in (SAFETENSORS_TEXT, NUMPY_TEXT, TORCH_TEXT)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
