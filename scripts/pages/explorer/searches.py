"""Photographs given to the explorer: each is kept, and its person sought in a thread, better step by step."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from scripts.pipeline import Tool, UserError, files
from scripts.stages.projecting.faces import BETWEEN, SMALLEST_FACE_PX, colour_flags, flags, generators_frame
from scripts.stages.projecting.projector import Projector
from scripts.stages.regenerating.photographs import NO_FACE, centre_square, read_given
from scripts.stages.regenerating.regenerator import FoundPerson, Regenerator
from segmentation.face_alignment import Similarity, cut_out, sharpness
from segmentation.face_landmarks import FaceFinder
from stylegan_modified.person_files import ProjectedPerson, load_person, save_person
from stylegan_modified.projection import ProjectionRecipe

PEOPLE = "explorer/people"
SHOWN_EVERY_S = 0.7  # a better picture
FIRST_S = 60.0  # to wait for the first one


@dataclass(frozen=True)
class GivenFace:
    """The face of a photograph in the generator's frame: uint8 [S, S, 3], and how it was cut, in words."""

    picture: np.ndarray
    framing: str


class Search:
    """One photograph and the person who is found of it so far.

    Attributes:
        path: the kept photograph.
        face: what is sought.
        person: as far as the search has come; None before the first picture.
        step, of: steps done, and in all.
    """

    def __init__(self, path: Path, face: GivenFace) -> None:
        self.path, self.face = path, face
        self.person: FoundPerson | None = None
        self.step, self.of = 0, 1
        self.failure: Exception | None = None
        self._stopping, self._first, self._ended = threading.Event(), threading.Event(), threading.Event()

    @property
    def is_going_on(self) -> bool:
        """Whether better pictures are still to come."""
        return not self._ended.is_set()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody wants it to end."""
        return self._stopping.is_set()

    def show(self, person: FoundPerson, step: int, of: int) -> None:
        """A better person than before."""
        self.person, self.step, self.of = person, step, of
        self._first.set()

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more will come."""
        self.failure = failure
        self._ended.set()
        self._first.set()

    def stop(self) -> None:
        """End it with what it has, and wait until it has ended."""
        self._stopping.set()
        self._ended.wait()

    def wait_for_picture(self) -> FoundPerson:
        """The person as soon as there is one.

        Raises:
            UserError: the search failed.
        """
        self._first.wait(FIRST_S)
        if self.person is None or self.failure is not None:
            raise UserError(f"{self.path.name} cannot be edited: {self.failure or 'the search is too slow'}.")
        return self.person


class Searches:
    """All photographs of an explorer; one person is sought at a time.

    Args:
        tool: the running script.
        regenerator: of the version in which people are sought.
        recipe, tune_steps: see `Projector`.
    """

    def __init__(
        self, tool: Tool, regenerator: Regenerator, recipe: ProjectionRecipe, tune_steps: int
    ) -> None:
        self.tool, self.regenerator = tool, regenerator
        self._recipe, self._tune_steps = recipe, tune_steps
        self._known: dict[str, Search] = {}
        self._lock = threading.Lock()

    @cached_property
    def _projector(self) -> Projector:
        return Projector(self.tool, self.regenerator.version, self._recipe, self._tune_steps)

    @cached_property
    def _frame(self) -> Similarity | None:
        return generators_frame(self.tool)

    @cached_property
    def _finder(self) -> FaceFinder:
        return FaceFinder(self.tool.device, min_face_px=SMALLEST_FACE_PX / 2)

    def load(self) -> None:
        """Load the networks, so that the first picture of the first photograph is quick."""
        with self._lock:
            _ = self._projector, self._finder, self._frame

    def get(self, name: str) -> Search | None:
        """The search of a photograph by its name."""
        return self._known.get(name)

    def begin(self, path: Path) -> Search:
        """Seek the person of a kept photograph, or take up whom an earlier search found; waits for the first
        picture, and stops the search before.

        Raises:
            UserError: the file is no readable picture.
        """
        with self._lock:
            known = self._known.get(path.name)
            if known is not None and (known.is_going_on or known.step == known.of):
                return known
            self.stop()
            search = Search(path, self._face(path))
            if (finished := self._finished(path)) is not None:
                steps = int(finished.notes["of"])
                search.show(self.regenerator.as_found(self._file(path), finished), steps, steps)
                search.end()
            else:
                threading.Thread(target=self._seek, args=(search, self._projector), daemon=True).start()
            self._known[path.name] = search  # a slow one, too, can be stopped
            search.wait_for_picture()
            return search

    def stop(self) -> None:
        """End the search that is going on."""
        for search in self._known.values():
            if search.is_going_on:
                search.stop()

    def _file(self, photograph: Path) -> Path:
        return self.tool.path(f"{PEOPLE}/{photograph.name}.safetensors")

    def _finished(self, photograph: Path) -> ProjectedPerson | None:
        """Whom an earlier search of the same steps in this very generator has found to its end."""
        try:
            person = load_person(self._file(photograph))
        except ValueError:
            return None
        wanted = self._notes(photograph)
        is_same = all(person.notes.get(name) == value for name, value in wanted.items())
        return person if is_same and person.notes.get("step") == person.notes.get("of") else None

    def _notes(self, photograph: Path) -> dict[str, Any]:
        recipe = (self._recipe.w_steps, self._recipe.wp_steps, self._tune_steps)
        return self._projector.notes(source=photograph.name, recipe=list(recipe))

    def _seek(self, search: Search, projector: Projector) -> None:
        """The thread's work."""
        shown_at = -SHOWN_EVERY_S
        failure: Exception | None = None
        try:
            for found in projector.seek(search.face.picture[None]):
                is_last = found.step == found.of or search.is_stopped
                if is_last or time.monotonic() - shown_at >= SHOWN_EVERY_S:
                    notes = self._notes(search.path) | {"step": found.step, "of": found.of}
                    self._show(search, found.person(0, notes))
                    shown_at = time.monotonic()
                if is_last:
                    break
        except Exception as error:  # such as a full disk; whoever waits must hear of any
            failure = error
        search.end(failure)

    def _show(self, search: Search, person: ProjectedPerson) -> None:
        """Keep a person, so that 08 makes the same pictures, and let the page have them."""
        path = self._file(search.path)
        with files.atomic_path(path) as temporary:
            save_person(temporary, person)
        found = self.regenerator.as_found(path, person)
        search.show(found, person.notes["step"], person.notes["of"])

    def _face(self, path: Path) -> GivenFace:
        photo = read_given(path)
        size = self._projector.size_px
        height, width = photo.shape[:2]
        if height == width == size:
            return GivenFace(photo, f"taken as it is, {width} x {height} px")
        faces = self._finder(photo)
        if not faces:
            return GivenFace(cut_out(photo, centre_square(photo), size)[0], f"{NO_FACE}, {size} px")
        face, others = faces[0], len(faces) - 1
        transform = face.transform if self._frame is None else face.transform.after(self._frame)
        picture, padding = cut_out(photo, transform, size)
        seen = {"x0": face.box[0], "x1": face.box[2], "eye_distance_px": face.eye_distance_px}
        seen |= {"sharpness": sharpness(photo, face.transform), "padding": padding}
        seen["angle_deg"] = face.transform.angle_deg
        words = [f"cut out around the face, {size} px", *flags(seen), *colour_flags(picture)]
        if others:
            words.insert(1, f"the largest of {others + 1} faces")
        return GivenFace(picture, BETWEEN.join(words))
