"""What the explorer's page asks for: pictures, strips along a dial, and photographs to edit."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import re
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from scripts.pages.explorer.searches import Search, Searches
from scripts.pages.server import png_base64
from scripts.pipeline import Tool, UserError, files
from scripts.pipeline.console import running_command
from scripts.stages import scores
from scripts.stages.regenerating.photographs import NO_FACE
from scripts.stages.regenerating.regenerator import (
    FoundPerson,
    GivenPerson,
    Person,
    Regenerated,
    Regenerator,
    Request,
)
from scripts.stages.regenerating.requests import parse_sweep
from scripts.stages.workspace import GENERATORS, PROPERTY_CNN_INPUT
from segmentation.property_table import PROPERTIES
from stylegan.seeds import PICTURES
from stylegan_modified.projection import ProjectionRecipe

FOLDER = "explorer/photographs"
LARGEST_PHOTOGRAPH_BYTES = 36 << 20
LARGEST_SEED = PICTURES.stop - 1
DIGITS = 2  # after the point of a property: the sliders' step, and what the command line repeats
LARGEST_PROPERTY = 20.0
STRIP_COUNTS = range(2, 16)
W_STEPS, TUNE_STEPS = 20, 60  # somebody waits: one w for all layers comes nearer for a while only


class ExploreError(ValueError):
    """The page asked for something that does not exist."""


class Explorer:
    """Generators, searches and statistics of a workspace, each loaded once when it is first needed.

    Its methods may be called from several threads: pictures of two tabs, or a picture and a strip, are made
    side by side.

    Args:
        tool: the running script.
        trunc_psi: truncation of w.
        corrections: closed-loop corrections of v2 and v3.
        recipe, tune_steps: of the search for the person of a photograph, see `Projector`.

    Raises:
        UserError: the workspace has no score statistics or no generator that can be read.
    """

    def __init__(
        self,
        tool: Tool,
        trunc_psi: float = 1.0,
        corrections: int = 1,
        recipe: ProjectionRecipe | None = None,
        tune_steps: int = TUNE_STEPS,
    ) -> None:
        self.tool, self.trunc_psi, self.corrections = tool, trunc_psi, corrections
        self._recipe, self._tune_steps = recipe or ProjectionRecipe(w_steps=W_STEPS), tune_steps
        self.versions = [v for v, item in GENERATORS.items() if item.locate(tool.workspace).exists()]
        self.dials = _dials(tool)
        self.photograph_version = "v3" if "v3" in self.versions else "v2"
        needed = (GENERATORS[self.photograph_version], PROPERTY_CNN_INPUT)
        self.missing_for_photographs = next(
            (item.made_by for item in needed if not item.locate(tool.workspace).exists()), None
        )
        self._regenerators: dict[str, Regenerator] = {}
        self._loading, self._closing = threading.Lock(), threading.Event()
        self.regenerator(self.versions[-1])

    def state(self) -> dict[str, Any]:
        """What the page is built from."""
        missing = {
            version: item.made_by
            for version, item in GENERATORS.items()
            if version not in self.versions and item.made_by.startswith("0")  # other rows are optional
        }
        maker = self.missing_for_photographs
        return {
            "versions": self.versions,
            "missing": {version: self.tool.command(maker) for version, maker in missing.items()},
            "dials": self.dials,
            "photographs": maker is None,
            "photographVersion": self.photograph_version,
            "photographsCommand": self.tool.command(maker) if maker else "",
            "largestSeed": LARGEST_SEED,
            "largestPhotographBytes": LARGEST_PHOTOGRAPH_BYTES,
            "command": running_command(),
            "workspace": self.tool.workspace.name,
        }

    def picture(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """One picture with its settings inside.

        Args:
            message: ``version``, ``seed`` or ``photograph`` (as `photograph` named it), ``properties``
                (name -> normalised value, all seven).

        Returns:
            ``png`` (base64), ``name`` of the file, ``command`` that makes the same picture, ``own``: the
            properties that the person has before any dial is turned, or None.

        Raises:
            ExploreError: the message asks for something that does not exist.
            UserError: the generator's file is damaged.
        """
        version, request = self._request(message)
        regenerator = self.regenerator(version)
        return self._described(regenerator, request, regenerator([request]))

    def strip(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The same person with one dial turned over its range.

        Args:
            message: as for `picture`, with ``dial`` (name of a property) and ``count`` of pictures.

        Returns:
            ``pictures``: a list of ``png`` (base64) and ``value``; ``command`` that makes the same strip.
        """
        version, request = self._request(message)
        if version == "base":
            raise ExploreError("the base generator has no dials, so there is no strip along one")
        dial = next((dial for dial in self.dials if dial["name"] == message.get("dial")), None)
        count = message.get("count")
        if dial is None or type(count) is not int or count not in STRIP_COUNTS:
            raise ExploreError("a strip needs the name of a dial and a count of 2 to 15 pictures")
        index = self.dials.index(dial)
        sweep = _sweep(dial, count)
        _, values = parse_sweep(sweep)
        regenerator = self.regenerator(version)
        pictures = []
        for value in values:
            properties = list(request.properties)
            properties[index] = round(value, DIGITS)
            one = Request(request.person, tuple(properties))
            png = png_base64(regenerator([one]).images[0], regenerator.metadata(one))
            pictures.append({"png": png, "value": properties[index]})
        return {"pictures": pictures, "command": regenerator.command(request, sweep)}

    def photograph(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a photograph in the workspace and begin to seek its person, or that of one kept before.

        Args:
            message: ``name`` of the file and ``content`` (base64), or ``photograph``: the name of a kept one.

        Returns:
            ``photograph``: its name in further messages; ``png`` (base64) of the face that is sought;
            ``framing`` in words; ``isFaceMissing``: no face was found in it; and what `progress` returns.

        Raises:
            ExploreError: the workspace has no generator with dials, or no such photograph.
            UserError: it is no readable picture.
            OSError: it cannot be written.
        """
        if self.missing_for_photographs:
            raise ExploreError(
                "editing photographs needs a generator with dials. Make it:\n    "
                f"{self.tool.command(self.missing_for_photographs)}"
            )
        name = message.get("photograph")
        if name is None:
            search = self._keep(message)
        else:
            kept = (self.tool.workspace / FOLDER).glob("*")
            path = next((path for path in kept if path.name == name), None)
            if path is None:
                raise ExploreError(
                    f"the photograph {name} is no longer in {FOLDER}, so it cannot be shown. Give it again."
                )
            search = self._searches.begin(path)
        return {
            "photograph": search.path.name,
            "png": png_base64(search.face.picture),
            "framing": search.face.framing,
            "isFaceMissing": search.face.framing.startswith(NO_FACE),
            **self._progress(search),
        }

    def progress(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """How far the search for the person of a photograph has come.

        Args:
            message: ``photograph``, and ``stop``: true to be content with what was found so far.

        Returns:
            ``step`` of ``of``; ``isSearching``: better pictures are to come; ``own`` properties so far.

        Raises:
            ExploreError: no such photograph.
            UserError: the search failed.
        """
        search = self._search(message.get("photograph"))
        if message.get("stop") is True:
            search.stop()
        return {"photograph": search.path.name, **self._progress(search)}

    def _progress(self, search: Search) -> dict[str, Any]:
        is_searching = search.is_going_on  # asked first: what was found last belongs to the end
        person = search.wait_for_picture()
        return {
            "step": search.step,
            "of": search.of,
            "isSearching": is_searching,
            "own": self._named(person.own),
        }

    def close(self) -> None:
        """End what is going on."""
        self._closing.set()
        if "_searches" in vars(self):
            self._searches.stop()

    def load_all(self) -> None:
        """Load the generators that nobody has asked for yet, so that the first picture of each is quick."""
        for version in self.versions:
            if self._closing.is_set():
                return
            # A damaged one is told to the page when that version is chosen.
            with contextlib.suppress(UserError):
                self.regenerator(version)
        if self.missing_for_photographs is None and not self._closing.is_set():
            with contextlib.suppress(UserError):
                self._searches.load()

    def regenerator(self, version: str) -> Regenerator:
        """The generator of a version."""
        with self._loading:
            if version not in self._regenerators:
                made = Regenerator(self.tool, version, self.trunc_psi, self.corrections)
                self._regenerators[version] = made
            return self._regenerators[version]

    @cached_property
    def _searches(self) -> Searches:
        regenerator = self.regenerator(self.photograph_version)
        return Searches(self.tool, regenerator, self._recipe, self._tune_steps)

    def _search(self, name: object) -> Search:
        search = (
            self._searches.get(name) if isinstance(name, str) and not self.missing_for_photographs else None
        )
        if search is None:
            raise ExploreError("there is no such photograph; give it again")
        return search

    def _keep(self, message: Mapping[str, Any]) -> Search:
        """The photograph of a message, kept in the workspace if it can be read."""
        try:
            content = base64.b64decode(message["content"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise ExploreError("the photograph did not arrive whole; send it again") from None
        given = str(message.get("name", "")).rpartition(".")
        stem = re.sub(r"[^\w-]+", "-", given[0])[:40].strip("-") or "photograph"
        suffix = re.sub(r"[^a-z]", "", given[2].lower())[:5] or "jpg"
        path = self.tool.path(f"{FOLDER}/{stem}_{hashlib.sha256(content).hexdigest()[:10]}.{suffix}")
        if not path.exists():
            with files.atomic_path(path) as temporary:
                temporary.write_bytes(content)
        try:
            return self._searches.begin(path)
        except UserError:
            files.remove(path)
            raise

    def _request(self, message: Mapping[str, Any]) -> tuple[str, Request]:
        version, properties = message.get("version"), message.get("properties")
        if version not in self.versions:
            raise ExploreError(f"the workspace has no generator {version!r}")
        names = [dial["name"] for dial in self.dials]
        if not isinstance(properties, dict) or set(properties) != set(names):
            raise ExploreError(f"the properties must be {', '.join(names)}")
        values = [properties[name] for name in names]
        if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise ExploreError("a property is not a number")
        limit = LARGEST_PROPERTY
        bounded = tuple(min(max(round(float(v), DIGITS), -limit), limit) for v in values)
        person = self._person(message, version)
        if isinstance(person, FoundPerson):
            bounded = self._exactly_own(person, bounded)
        return version, Request(person, bounded)

    def _exactly_own(self, person: FoundPerson, asked: tuple[float, ...]) -> tuple[float, ...]:
        """What a dial shows is rounded and within its range; one that nobody turned means the person's."""
        stands = (
            min(max(round(own, DIGITS), dial["min"]), dial["max"])
            for own, dial in zip(person.own, self.dials, strict=True)
        )
        both = zip(asked, stands, person.own, strict=True)
        return tuple(own if value in (shown, round(own, DIGITS)) else value for value, shown, own in both)

    def _person(self, message: Mapping[str, Any], version: str) -> Person:
        if (name := message.get("photograph")) is not None:
            search = self._search(name)
            if version != self.photograph_version:
                raise ExploreError(f"photographs are shown by {self.photograph_version} only")
            return search.wait_for_picture()
        seed = message.get("seed")
        if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
            raise ExploreError(f"a seed is a whole number from 0 to {LARGEST_SEED}")
        return seed

    def _described(self, regenerator: Regenerator, request: Request, made: Regenerated) -> dict[str, Any]:
        person = request.person
        who = person.path.stem if isinstance(person, GivenPerson) else f"seed{person:06d}"
        return {
            "png": png_base64(made.images[0], regenerator.metadata(request)),
            "name": f"{regenerator.version}_{who}.png",
            "command": regenerator.command(request),
            "own": None if made.own is None else self._named(made.own[0]),
        }

    def _named(self, values: Any) -> dict[str, float]:
        return {d["name"]: round(float(v), DIGITS) for d, v in zip(self.dials, values, strict=True)}


def _dials(tool: Tool) -> list[dict[str, Any]]:
    """The seven dials: names, meanings, range from the 1st to the 99th percentile, and median."""
    percentiles = scores.load_statistics(tool).normalized_percentiles()
    return [
        {
            "name": prop.name,
            "title": prop.name.replace("_", " "),
            "meaning": prop.meaning,
            "low": prop.low,
            "high": prop.high,
            "min": math.floor(row[0] * 10**DIGITS) / 10**DIGITS,
            "max": math.ceil(row[-1] * 10**DIGITS) / 10**DIGITS,
            "median": round(float(row[len(row) // 2]), DIGITS),
        }
        for prop, row in zip(PROPERTIES, percentiles, strict=True)
    ]


def _sweep(dial: Mapping[str, Any], count: int) -> str:
    """The range of a dial as a sweep in whole steps of the slider, so that the dial can take each value."""
    left_over = round((dial["max"] - dial["min"]) * 10**DIGITS) % (count - 1)
    start = dial["min"] + left_over // 2 / 10**DIGITS
    stop = dial["max"] - (left_over - left_over // 2) / 10**DIGITS
    return f"{dial['name']}={start:.{DIGITS}f}:{stop:.{DIGITS}f}:{count}"
