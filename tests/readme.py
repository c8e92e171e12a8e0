"""Reads the READMEs: their commands, what they name, their table of tables and their way of the data."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from scripts.pipeline import REPOSITORY
from segmentation.face_classes import CLASS_NAMES
from segmentation.property_table import PROPERTY_NAMES

ENGLISH = tuple(
    path
    for pattern in ("README.md", "*/README.md", "data/*/README.md")
    for path in sorted(REPOSITORY.glob(pattern))
    if not path.parent.name.startswith(".")
)
READMES = tuple(sorted({*ENGLISH, *(path.with_name("README.ko.md") for path in ENGLISH)}))
TABLES = REPOSITORY / "data" / "README.md"  # describes every table
WAY = REPOSITORY / "scripts" / "README.md"  # says who reads and writes which file
NAMES = {"<property>": PROPERTY_NAMES, "<class>": CLASS_NAMES, "<k>": ("1", "2", "3")}


def code_blocks(readme: Path, language: str = "bash") -> list[str]:
    """Contents of the fenced blocks of a language, in order."""
    text = readme.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Simple commands of a block of shell lines as words, without comments."""
    found: list[list[str]] = []
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word and set(word) <= set(";&|()<>"):
                if words:
                    found.append(words)
                words = []
            else:
                words.append(word)
    return found


def links(readme: Path) -> list[str]:
    """Targets of links and pictures inside the repository, without anchors."""
    return [path for path, _ in link_targets(readme) if path]


def link_targets(readme: Path) -> list[tuple[str, str]]:
    """The same as (path relative to the README, anchor); the path is empty for one in the README itself."""
    targets = re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8"))
    parts = (target.partition("#") for target in targets if "://" not in target)
    return [(path, anchor) for path, _, anchor in parts]


def pictures(readme: Path) -> list[str]:
    """Files of the pictures that it shows, in order."""
    return re.findall(r"^!\[[^]]*\]\(([^)\s]+)\)$", readme.read_text(encoding="utf-8"), re.MULTILINE)


def anchors(readme: Path) -> set[str]:
    """Anchors that the headings of a README make."""
    headings = re.findall(r"^#+ (.+)$", readme.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(readme: Path) -> list[list[str]]:
    """Cells of all rows of tables, headers left out."""
    text = readme.read_text(encoding="utf-8")
    lines = re.sub(r"^\|.*\n\|[-|]+\|$", "", text, flags=re.MULTILINE).splitlines()
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line[:1] == "|"]


def prose(readme: Path) -> str:
    """Its text without code blocks and tables."""
    text = re.sub(r"^```.*?^```$", "", readme.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if line[:1] != "|")


def numbers(text: str) -> Counter[str]:
    """Numbers written in digits; those in names of files and options are none."""
    without_code = re.sub(r"`[^`]*`|\([^()]*\.(?:md|py|jpg|png)\S*\)", "", text)
    return Counter(re.findall(r"(?<![\w.,])\.?\d+(?:[.,]\d+)*", without_code))


@dataclass(frozen=True)
class Way:
    """Files of a script as the page tells them, workspace-relative; `optional` is a part of `reads`."""

    reads: frozenset[str]
    optional: frozenset[str]
    writes: frozenset[str]


def ways_of_the_data(readme: Path) -> dict[str, Way]:
    """What each numbered script reads and writes, by its name."""
    found = {}
    for cells in rows(readme):
        name = re.fullmatch(r"`(\d\d_\w+)`", cells[0])
        if name and len(cells) == 3:
            in_parentheses = " ".join(re.findall(r"\(([^()]*)\)", cells[1]))
            parts = (cells[1], in_parentheses, cells[2])
            found[name[1]] = Way(*(frozenset(quoted(part)) for part in parts))
    return found


def drawn_readers(readme: Path) -> dict[str, set[str]]:
    """The drawing: number of a script -> numbers of those that read its files."""
    lines = [line.split() for line in code_blocks(readme, "text")[0].splitlines()]
    readers = [word for word in lines[0] if word.isdecimal()]
    marks = {words[0]: words[-len(readers) :] for words in lines[1:]}
    return {
        maker: {reader for reader, mark in zip(readers, row, strict=True) if mark == "x"}
        for maker, row in marks.items()
    }


def quoted(text: str) -> list[str]:
    """What stands in backquotes, with its shorthands written out."""
    return [name for word in re.findall(r"`([^`]+)`", text) for name in expanded(word)]


def table_columns(readme: Path) -> dict[str, set[str]]:
    """The table of tables: file pattern -> the columns that it documents."""
    text = readme.read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for row in re.findall(r"^\|(.+\.csv.+)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in row.split(" | ")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        columns = set(quoted(cells[2]))
        for pattern in re.findall(r"`([^`]+)`", cells[0]):
            for name in braces(pattern):
                found[name] = columns
    return found


def documented(relative: str, tables: dict[str, set[str]]) -> set[str] | None:
    """Columns that the table of tables gives for a file, None if it has no row."""
    exact = tables.get(relative)
    if exact is not None:
        return exact
    return next((columns for name, columns in tables.items() if fnmatch.fnmatch(relative, name)), None)


def expanded(word: str) -> list[str]:
    """``<property>_score`` stands for seven columns, ``x{0,1}`` for two."""
    for placeholder, names in NAMES.items():
        if placeholder in word:
            return [other for name in names for other in expanded(word.replace(placeholder, name))]
    return braces(word)


def braces(word: str) -> list[str]:
    """``a_{x,y}.csv`` as the shell expands it."""
    match = re.search(r"\{([^}]*)\}", word)
    if match is None:
        return [word]
    before, after = word[: match.start()], word[match.end() :]
    return [other for part in match[1].split(",") for other in braces(before + part + after)]
