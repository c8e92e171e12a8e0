"""Tables of weights of other programs under the names of this package: rules, and what applies them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]


class LayoutError(ValueError):
    """A table of weights is not of the layout that its names promise."""


@dataclass(frozen=True)
class Converted:
    """A network of another program, under our names."""

    program: str
    """Whose names they were."""
    state: State
    config: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments that shapes do not tell."""
    notes: tuple[str, ...] = ()
    """What a user should know: what was missing and made up, what was turned."""
    missing_average: bool = False
    """The average w is not among the entries and has to be computed."""


def unchanged(value: Tensor) -> Tensor:
    return value


class Rule(NamedTuple):
    """Entries whose whole name fits `pattern` become `target` of the numbers in the name.

    `target` None drops the entry, which holds nothing that was learned.
    """

    pattern: str
    target: Callable[..., str] | None
    transform: Callable[[Tensor], Tensor] = unchanged


def rename(state: Mapping[str, Tensor], rules: Sequence[Rule], program: str) -> State:
    """The entries of a table by their names here.

    Raises:
        LayoutError: no rule knows an entry.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    renamed: State = {}
    for name, value in state.items():
        for pattern, rule in compiled:
            found = pattern.fullmatch(name)
            if found is None:
                continue
            if rule.target is not None:
                renamed[rule.target(*map(int, found.groups()))] = rule.transform(value)
            break
        else:
            raise LayoutError(f"its names are those of {program}, but `{name}` does not belong there.")
    return renamed


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many entries have names that fit a pattern."""
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def with_average(converted: Converted, average: str, first_weight: str) -> Converted:
    """Make room for the average w of a generator where its file has none.

    Args:
        average: name of its entry here.
        first_weight: a layer of the mapping network with as many results as w has numbers.
    """
    if average in converted.state or first_weight not in converted.state:
        return converted
    room = {average: torch.zeros(len(converted.state[first_weight]))}
    return replace(converted, state=converted.state | room, missing_average=True)


def resolution_of(block: int) -> int:
    """Pixels per side of a block, counted from 0 at 4x4."""
    return 4 << block


COLOUR_ROWS = re.compile(r"synthesis\.(output\d+|b\d+\.torgb)\.(weight|bias)")
COLOUR_COLUMNS = re.compile(r"(input\d+|b\d+\.fromrgb)\.weight")


def with_turned_colours(state: Mapping[str, Tensor]) -> State:
    """A generator or discriminator, under our names, of BGR as one of RGB, or the other way round."""
    turned = dict(state)
    for name, value in state.items():
        if COLOUR_ROWS.fullmatch(name):
            turned[name] = value.flip(0)
        elif COLOUR_COLUMNS.fullmatch(name):
            turned[name] = value.flip(1)
    return turned
