"""What an error of a file system means, in a sentence; libraries that write files spell it differently."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from scripts.pipeline.files import TEMPORARY_PREFIX

NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
WRONG_KIND = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
GONE = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO}
SENTENCES = (
    (
        {errno.ENOSPC, errno.EDQUOT, errno.EFBIG},
        "the disk is full ({error}). Free some space. {go_on}",
    ),
    (
        {errno.EROFS},
        "{path} cannot be written, because its file system can only be read, so results cannot be kept "
        "there. Give another {elsewhere}.",
    ),
    (
        {errno.EACCES, errno.EPERM},
        "no permission to use {path}, so the run cannot go on. Change who may use it, or give another "
        "{elsewhere}.",
    ),
    (
        WRONG_KIND,
        "{path} cannot be used: there is a file where a folder should be, or a folder where a file should "
        "be. Move it away, or give another {elsewhere}.",
    ),
    (
        GONE,
        "the file system failed at {path} ({error}): a network drive is gone, or a disk is damaged. Bring it "
        "back. {go_on}",
    ),
    (
        {errno.EMFILE, errno.ENFILE},
        "too many files are open ({error}). Allow more in this shell: ulimit -n 4096. {go_on}",
    ),
    (
        {errno.ENAMETOOLONG},
        "the file system takes no name as long as that of {path}. Give a shorter {elsewhere}.",
    ),
    ({errno.ELOOP}, "{path} is a link that leads in a circle. Remove it, or give another {elsewhere}."),
)
TEMPORARY_NAME = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}\d+-(?=[^/]*$)")
# safetensors puts the system's number into its text; numpy and torch only notice that bytes are missing.
SAFETENSORS_TEXT = re.compile(r"os error (\d+)\b")
SHORT_WRITES = (
    re.compile(r"\d+ requested and \d+ written"),
    re.compile(r"inline_container\.cc.*(unexpected pos|failed writing)", re.DOTALL),
)


def kinds() -> tuple[type[Exception], ...]:
    """Exception types that an error of the file system may show itself as."""
    from safetensors import SafetensorError

    return OSError, RuntimeError, SafetensorError


def explain(error: BaseException, elsewhere: str, go_on: str) -> str:
    """What happened, why it matters and what to do; empty if this is no error that a person can mend.

    Args:
        error: of any of `kinds`; those that led to it are looked at too.
        elsewhere: the options that name other places, such as "--workspace".
        go_on: says that the same command goes on, with the command.
    """
    seen: BaseException | None = error
    while seen is not None:
        number = _number(seen)
        for numbers, sentence in SENTENCES:
            if number in numbers:
                path = TEMPORARY_NAME.sub("", str(getattr(seen, "filename", None) or seen))
                named = _in_the_way(Path(path)) if number in WRONG_KIND else path
                return sentence.format(path=named, error=seen, elsewhere=elsewhere, go_on=go_on)
        seen = seen.__cause__ or seen.__context__
    return ""


def _number(error: BaseException) -> int | None:
    """The system's number of an error."""
    text = str(error)
    if any(pattern.search(text) for pattern in SHORT_WRITES):
        return errno.ENOSPC
    found = SAFETENSORS_TEXT.search(text)
    return error.errno if isinstance(error, OSError) else int(found[1]) if found else None


def _in_the_way(path: Path) -> Path:
    """The file in the place of a folder that a path leads through, or the path itself."""
    return next((folder for folder in path.parents if folder.is_file()), path)
