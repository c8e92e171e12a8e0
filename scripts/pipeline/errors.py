"""Errors that the user caused or can mend, each with the exit code that the shell sees."""

from __future__ import annotations

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_MISSING_INPUT = 3
EXIT_TOO_MANY_FAILURES = 4
EXIT_FORESEEN = 5
EXIT_INTERRUPTED = 130


def commands_in(message: str) -> list[str]:
    """The commands that a message asks to type: its indented lines."""
    return [line.strip() for line in message.splitlines() if line.startswith("    ")]


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
