"""Tables of weights, wherever a file has them: nested under any names, or in one table with prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

PARALLEL_PREFIX = "module."
# Names under which people keep networks. A table whose entries begin with some of them is several tables.
AVERAGED = frozenset({"generator_smooth", "generator_ema", "g_ema", "G_ema", "netG_ema", "ema", "Gs"})
ROLES = AVERAGED | {"generator", "discriminator", "g", "d", "G", "D", "netG", "netD"}


def find_tables(content: Any) -> dict[str, dict[str, Tensor]]:
    """All tables of tensors at any depth of a file's contents, by where they are: `models.g_ema`.

    Plain values beside the tensors are left out, and `module.`, where all names begin with it. Every table is
    looked at once, since a table may contain itself.
    """
    tables: dict[str, dict[str, Tensor]] = {}
    waiting: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    for place, value in waiting:  # it grows as we go
        if id(value) in seen or not isinstance(value, (Mapping, list, tuple)):
            continue
        seen.add(id(value))
        if not isinstance(value, Mapping):
            value = dict(enumerate(value))
        table = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
        tables |= {_join(place, role): part for role, part in _split(table).items()}
        waiting += [
            (_join(place, name), inner) for name, inner in value.items() if not isinstance(inner, Tensor)
        ]
    return tables


def is_averaged(place: str) -> bool:
    """Whether the place of a generator in a file says that its weights are an average over training."""
    return not AVERAGED.isdisjoint(place.split("."))


def _split(table: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A table by the roles that its names begin with; under an empty name where they begin with none."""
    if not table:
        return {}
    if all(name.startswith(PARALLEL_PREFIX) for name in table):
        return _split({name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in table.items()})
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in table.items():
        head, _, rest = name.partition(".")
        place, rest = (head, rest) if head in ROLES and rest else ("", name)
        parts.setdefault(place, {})[rest.removeprefix(PARALLEL_PREFIX)] = tensor
    return parts


def _join(place: str, name: object) -> str:
    return f"{place}.{name}".strip(".")
