"""Reads the READMEs: their commands, what they name, and their table of tables."""

from __future__ import annotations

import fnmatch
import re
import shlex
from pathlib import Path
from string import Template

from scripts.pipeline import REPOSITORY
from segmentation.face_classes import CLASS_NAMES
from segmentation.property_table import PROPERTY_NAMES

READMES = tuple(sorted(REPOSITORY.glob("README*.md")))
VARIABLES = {"i": "1", "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_NNODES": "2"}
NAMES = {"<property>": PROPERTY_NAMES, "<class>": CLASS_NAMES, "<k>": ("1", "2", "3")}


def code_blocks(readme: Path, language: str = "bash") -> list[str]:
    """Contents of the fenced blocks of a language, in order."""
    text = readme.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Simple commands of a block of shell lines as words, without comments, loops and variables."""
    found: list[list[str]] = []
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(Template(line).safe_substitute(VARIABLES), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word and set(word) <= set(";&|()<>"):
                if words:
                    found.append(words)
                words = []
            elif word not in ("do", "done"):
                words.append(word)
    return [words for words in found if words[0] != "for"]


def links(readme: Path) -> list[str]:
    """Targets of links and pictures inside the repository, without anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8"))
    return [target.split("#")[0] for target in targets if "://" not in target and target[0] != "#"]


def anchors(readme: Path) -> tuple[set[str], set[str]]:
    """Anchors that links of this file point to, and those that its headings make."""
    text = readme.read_text(encoding="utf-8")
    wanted = set(re.findall(r"\]\(#([^)\s]+)\)", text))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return wanted, made


def table_columns(readme: Path) -> dict[str, set[str]]:
    """The table of tables: file pattern -> the columns that it documents."""
    text = readme.read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for row in re.findall(r"^\|(.+\.csv.+)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in row.split(" | ")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        columns = {name for word in re.findall(r"`([^`]+)`", cells[2]) for name in expanded(word)}
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
