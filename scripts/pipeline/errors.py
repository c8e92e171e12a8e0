"""Errors that the user caused or can mend, each with the exit code that the shell sees."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from scripts.pipeline.files import TEMPORARY_PREFIX

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_MISSING_INPUT = 3
EXIT_TOO_MANY_FAILURES = 4
EXIT_FORESEEN = 5
EXIT_INTERRUPTED = 130

NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
WRONG_KIND = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
GONE = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SENTENCES = (
    (FULL, "the disk is full ({error}). Free some space. {go_on}"),
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
SHORT_WRITES = re.compile(
    r"\d+ requested and \d+ written|inline_container\.cc.*(unexpected pos|failed writing)", re.DOTALL
)


class UserError(Exception):
    """A foreseen error: shown as one message without a traceback.

    The message says what happened, why it matters, and the command that mends it, on a line of its own behind
    four spaces.
    """

    exit_code = EXIT_FORESEEN


class UsageError(UserError):
    """Bad command line, unknown option or unknown preset."""

    exit_code = EXIT_USAGE


class MissingInputError(UserError):
    """A file that another script makes is not there."""

    exit_code = EXIT_MISSING_INPUT


class TooManyFailuresError(UserError):
    """More items failed than ``--max-failures`` allows."""

    exit_code = EXIT_TOO_MANY_FAILURES


class Interrupted(UserError):  # noqa: N818  (a request, not an error)
    """Ctrl-C or SIGTERM was received; everything finished so far is on disk."""

    exit_code = EXIT_INTERRUPTED


def commands_in(message: str) -> list[str]:
    """The commands that a message asks to type: its indented lines."""
    return [line.strip() for line in message.splitlines() if line.startswith("    ")]


def explain_file_error(error: BaseException, elsewhere: str, go_on: str) -> str:
    """What happened, why it matters and what to do; empty if this is no error that a person can mend.

    Args:
        error: of any kind, since libraries wrap those of the system; its causes are looked at too.
        elsewhere: the options that name other places, such as "--workspace".
        go_on: says that the same command goes on, with the command.
    """
    seen: BaseException | None = error
    while seen is not None:
        number = _system_number(seen)
        for numbers, sentence in SENTENCES:
            if number in numbers:
                path = TEMPORARY_NAME.sub("", str(getattr(seen, "filename", None) or seen))
                if number in WRONG_KIND:  # name the file in the place of a folder
                    path = next((str(folder) for folder in Path(path).parents if folder.is_file()), path)
                return sentence.format(path=path, error=seen, elsewhere=elsewhere, go_on=go_on)
        seen = seen.__cause__ or seen.__context__
    return ""


def _system_number(error: BaseException) -> int | None:
    if SHORT_WRITES.search(str(error)):
        return errno.ENOSPC
    if isinstance(error, OSError):
        return error.errno
    found = SAFETENSORS_TEXT.search(str(error))
    return int(found[1]) if found else None
