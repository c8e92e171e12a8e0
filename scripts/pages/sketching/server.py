"""The page to draw on, over HTTP: strokes come, a portrait goes back."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from scripts.pages.server import PageServer, Value, json_response
from scripts.pipeline import Tool, UserError, tables
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.stages.sketching.drawing import faces_found, open_network
from scripts.stages.sketching.pairs import pair_paths
from scripts.stages.workspace import SEGMENTATION_MODELS, SKETCH_TABLE
from segmentation.face_crop import FaceCropper
from sketch.colors import COLOR_NAMES, color_text, parse_color
from sketch.given_sketches import SketchError, prepared
from sketch.pairs import unpack_strokes

LARGEST_SKETCH_BYTES = 1 << 21
SHEET_PX = 512
ERASER_FACTOR = 5  # how much wider it is than the pen, as on the page
LARGEST_SEED = 1 << 31
MOST_SEEDS = 8
FOLDER = "sketch/page"


class SketchPageError(ValueError):
    """A message that cannot be answered; the text says why."""


class Artist:
    """Draws portraits for the page.

    Args:
        tool: the running script.
        network: file of the network; None: the workspace's, else the bundled one.

    Raises:
        MissingInputError, UserError: there is no network.
    """

    def __init__(self, tool: Tool, network: Path | None = None) -> None:
        self.tool = tool
        self.network, self.path = open_network(tool, network)
        self.size = self.network.config.size
        self._lock = threading.Lock()
        self._cropper: FaceCropper | None = None
        self._templates = self._list_templates()

    def _list_templates(self) -> list[tuple[int, str]]:
        path = self.tool.workspace / SKETCH_TABLE
        if not path.is_file():
            return []
        table = tables.read_csv(path, ("img_no", "split", "status"))
        table = table[table["status"].eq("ok")]
        return [(int(row.img_no), str(row.split)) for row in table.itertuples()]

    def state(self) -> Value:
        """What the page needs to know at its start."""
        return {
            "size": self.size,
            "network": str(self.path),
            "colors": list(COLOR_NAMES) if self.network.config.has_colors else [],
            "templates": len(self._templates),
        }

    def draw(self, message: Value) -> Value:
        """Portraits of the sketch in the message, as PNG.

        `strokes` see `sheet`; `seeds` up to eight; `colors` #rrggbb by name, for some; `check` asks whether
        MTCNN finds a face in the first portrait.
        """
        lines = self._lines(sheet(message.get("strokes")))
        seeds = message.get("seeds")
        if not isinstance(seeds, list) or not 1 <= len(seeds) <= MOST_SEEDS or not all(map(_is_seed, seeds)):
            raise SketchPageError(f"seeds are one to {MOST_SEEDS} whole numbers below {LARGEST_SEED}")
        given = self._given(message.get("colors", {}))
        with self._lock:
            portraits, colors = self.network.variants(lines, seeds, given)
        answer: Value = {
            "portraits": [_png(portrait) for portrait in portraits],
            "colors": dict(zip(COLOR_NAMES, map(color_text, colors[0]), strict=True)),
        }
        if message.get("check"):
            answer["face"] = self._has_face(portraits[:1])
        return answer

    def template(self, message: Value) -> Value:
        """The lines of a random person to start from, in shares of the side."""
        number: Any = message.get("number")
        if not self._templates:
            raise SketchPageError(
                "this workspace has no sketches to start from; 30_make_sketch_pairs.py makes them"
            )
        if not _is_seed(number):
            raise SketchPageError("the number of a template is a whole number from 0")
        img_no, split = self._templates[number % len(self._templates)]
        try:
            arrays = read_arrays(self.tool.workspace / pair_paths(img_no, split)[3])
        except ArrayFileError as error:
            raise SketchPageError(f"the lines of {img_no} cannot be read: {error}") from error
        strokes = [
            np.concatenate([stroke.points, stroke.points[:1]]) if stroke.closed else stroke.points
            for stroke in unpack_strokes(arrays)
        ]
        return {"strokes": [np.round(points, 4).tolist() for points in strokes]}

    def save(self, message: Value) -> Value:
        """Write sketch and portrait into the workspace; the paths, and the command that makes the same."""
        answer = self.draw(message | {"seeds": (message.get("seeds") or [])[:1]})
        folder = self.tool.path(f"{FOLDER}/sketch.png").parent
        taken = {path.stem for path in folder.glob("[0-9]*_sketch.png")}
        number = next(n for n in range(1, 1 << 20) if f"{n:03d}_sketch" not in taken)
        sketch_path, portrait_path = (f"{FOLDER}/{number:03d}_{what}.png" for what in ("sketch", "portrait"))
        self.tool.write(sketch_path, sheet(message.get("strokes")))
        with self.tool.atomic(portrait_path) as temporary:
            temporary.write_bytes(base64.b64decode(answer["portraits"][0].partition(",")[2]))
        words = [str(self.tool.path(sketch_path)), "--seeds", str(message["seeds"][0])]
        for name, text in message.get("colors", {}).items():
            words += [f"--{name}", text]
        return {
            "sketch": str(self.tool.path(sketch_path)),
            "portrait": str(self.tool.path(portrait_path)),
            "command": self.tool.command("32_draw_from_sketch", *words),
            "dials": self.tool.command(
                "08_regenerate_images",
                *("--version", "v3", "--from-image", str(self.tool.path(portrait_path))),
            ),
        }

    def _lines(self, picture: np.ndarray) -> np.ndarray:
        try:
            return prepared(picture, self.size).lines
        except SketchError as error:
            raise SketchPageError(str(error)) from error

    def _given(self, colors: object) -> dict[str, tuple[int, int, int]]:
        if not isinstance(colors, dict) or not set(colors) <= set(COLOR_NAMES):
            raise SketchPageError(f"colours are those of {', '.join(COLOR_NAMES)}")
        try:
            return {str(name): parse_color(str(text)) for name, text in colors.items()}
        except ValueError as error:
            raise SketchPageError(str(error)) from error

    def _has_face(self, portraits: np.ndarray) -> bool:
        with self._lock:
            if self._cropper is None:
                models = self.tool.workspace / SEGMENTATION_MODELS
                weights = models if models.is_dir() else None
                self._cropper = FaceCropper(self.tool.device, weights=weights)
            return bool(faces_found(self._cropper, portraits)[0])


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_SEED


def _png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def sheet(strokes: Any) -> np.ndarray:
    """The sheet that strokes leave, black on white: uint8 [512, 512, 3].

    Args:
        strokes: in order, each with `tool` pen or eraser, `width` in 1/256 of the side, and `points` [n, 2]
            in shares of the side.

    Raises:
        SketchPageError: they are something else.
    """
    picture = np.full((SHEET_PX, SHEET_PX, 3), 255, np.uint8)
    try:
        for stroke in strokes if isinstance(strokes, list) else [strokes]:
            is_pen = {"pen": True, "eraser": False}[stroke["tool"]]
            points = np.asarray(stroke["points"], np.float64).reshape(-1, 2)
            width = float(stroke["width"]) / 256 * SHEET_PX * (1 if is_pen else ERASER_FACTOR)
            if not len(points) or not np.isfinite(points).all() or not 0 < width < SHEET_PX:
                raise ValueError("a stroke has points and a width")
            places = np.round((np.clip(points, -1, 2) * SHEET_PX - 0.5) * 16).astype(np.int32)
            color = (17, 17, 17) if is_pen else (255, 255, 255)
            cv2.polylines(
                picture,
                [places[[0, *range(len(places))]]],
                False,
                color,
                max(1, round(width)),
                cv2.LINE_AA,
                4,
            )
    except (LookupError, TypeError, ValueError) as error:
        raise SketchPageError(f"the strokes cannot be read ({error})") from error
    return picture


class SketchServer(PageServer):
    """Serves the page to draw on at 127.0.0.1, to as many tabs as are open."""

    page = Path(__file__).with_name("page")
    only_newest_page = False
    largest_message_bytes = LARGEST_SKETCH_BYTES
    refusals = (SketchPageError, UserError)
    stale_page = "explore was started again since this page was opened. Reload to go on here."
    write_failure = "It could not be written ({error}). Free some space or mend the folder, then save again."

    def __init__(self, artist: Artist, port: int) -> None:
        super().__init__(
            port,
            pages={"/api/state": lambda request: json_response(artist.state())},
            actions={
                "/api/draw": artist.draw,
                "/api/template": artist.template,
                "/api/save": artist.save,
            },
        )


def sketch(tool: Tool, network: Path | None, port: int, browser: bool) -> None:
    """Load the network and show the page until it is closed or Ctrl-C.

    Raises:
        MissingInputError: there is no network.
    """
    artist = Artist(tool, network)
    tool.log(f"Portraits by {artist.path}, {artist.size} px.")
    with SketchServer(artist, port) as server:
        server.show("Sketch", browser, tool.check_stop)
