"""What a check found, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the screen.

    Attributes:
        subject: what was looked at.
        text: what was found.
        mend: command that repairs it; empty if there is nothing to repair.
    """

    subject: str
    text: str
    mend: str = ""

    def __str__(self) -> str:
        lines = [f"{'MEND' if self.mend else 'ok':5} {self.subject:27} {self.text}"]
        if self.mend:
            lines.append(f"{'':6}$ {self.mend}")
        return "\n".join(lines)
