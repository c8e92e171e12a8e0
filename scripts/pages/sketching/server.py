"""The page to draw on, over HTTP: strokes come, a portrait goes back."""

from __future__ import annotations

import threading
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scripts.pages.server import PageServer, Value, json_response, png_base64
from scripts.pipeline import Tool, UserError, tables
from scripts.pipeline.files import ArrayFileError, read_arrays
from scripts.stages.sketching.drawing import faces_found, open_network
from scripts.stages.sketching.pairs import pair_paths
from scripts.stages.workspace import SEGMENTATION_MODELS, SKETCH_TABLE
from segmentation.face_crop import FaceCropper
from sketch.colors import COLOR_NAMES, color_text, parse_color
from sketch.given_sketches import SketchError, prepared
from sketch.lines import SUBPIXEL_BITS
from sketch.pairs import unpack_strokes
from stylegan.seeds import PICTURES

LARGEST_SKETCH_BYTES = 1 << 21
SHEET_PX = 512
ERASER_FACTOR = 5  # how much wider it is than the pen, as on the page
MOST_SEEDS = 8
FOLDER = "sketch/page"


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
        self._network_words = ["--network", str(self.path)] if network else []

    @cached_property
    def _templates(self) -> list[tuple[int, str]]:
        path = self.tool.workspace / SKETCH_TABLE
        if not path.is_file():
            return []
        table = tables.read_csv(path, ("img_no", "split", "status"))
        table = table[table["status"].eq("ok")]
        return [(int(row.img_no), str(row.split)) for row in table.itertuples()]

    @cached_property
    def _cropper(self) -> FaceCropper:
        return FaceCropper(self.tool.device, weights=self.tool.workspace / SEGMENTATION_MODELS)

    def state(self) -> Value:
        """What the page needs to know at its start."""
        return {
            "size": self.size,
            "colors": list(COLOR_NAMES) if self.network.config.has_colors else [],
            "templates": len(self._templates),
        }

    def draw(self, message: Value) -> Value:
        """Portraits of the sketch in the message, PNG in base64.

        `strokes` see `sheet`; `seeds` up to eight; `colors` #rrggbb by name, for some; `check` asks whether
        MTCNN finds a face in the first portrait.
        """
        portraits, colors = self._variants(message)
        answer: Value = {
            "portraits": [png_base64(portrait) for portrait in portraits],
            "colors": dict(zip(COLOR_NAMES, map(color_text, colors[0]), strict=True)),
        }
        if message.get("check"):
            with self._lock:
                answer["face"] = bool(faces_found(self._cropper, portraits[:1])[0])
        return answer

    def _variants(self, message: Value) -> tuple[np.ndarray, np.ndarray]:
        """What `PortraitNetwork.variants` gives for a message."""
        lines = prepared(sheet(message.get("strokes")), self.size).lines
        seeds, colors = message.get("seeds"), message.get("colors", {})
        if not isinstance(seeds, list) or not 1 <= len(seeds) <= MOST_SEEDS or not all(map(_is_seed, seeds)):
            raise UserError(f"seeds are one to {MOST_SEEDS} whole numbers below {PICTURES.stop}")
        if not isinstance(colors, dict) or not set(colors) <= set(COLOR_NAMES):
            raise UserError(f"colours are those of {', '.join(COLOR_NAMES)}")
        with self.tool.foreseen(ValueError):
            given = {name: parse_color(str(text)) for name, text in colors.items()}
        with self._lock:
            return self.network.variants(lines, seeds, given)

    def template(self, message: Value) -> Value:
        """The lines of a random person to start from, in shares of the side."""
        number: Any = message.get("number")
        if not self._templates:
            raise UserError(
                "this workspace has no sketches to start from; 30_make_sketch_pairs.py makes them"
            )
        if not _is_seed(number):
            raise UserError("the number of a template is a whole number from 0")
        img_no, split = self._templates[number % len(self._templates)]
        with self.tool.foreseen(ArrayFileError):
            arrays = read_arrays(self.tool.workspace / pair_paths(img_no, split)[3])
        strokes = [
            np.concatenate([stroke.points, stroke.points[:1]]) if stroke.closed else stroke.points
            for stroke in unpack_strokes(arrays)
        ]
        return {"strokes": [np.round(points, 4).tolist() for points in strokes]}

    def save(self, message: Value) -> Value:
        """Write sketch and first portrait into the workspace; the paths, and the command that makes them."""
        portraits, _ = self._variants(message)
        folder = self.tool.workspace / FOLDER
        number = next(n for n in count(1) if not (folder / f"{n:03d}_sketch.png").exists())
        sketch_path, portrait_path = (f"{FOLDER}/{number:03d}_{what}.png" for what in ("sketch", "portrait"))
        self.tool.write(sketch_path, sheet(message["strokes"]))
        self.tool.write(portrait_path, portraits[0])
        drawn, portrait = (str(self.tool.workspace / path) for path in (sketch_path, portrait_path))
        words = [drawn, "--seeds", str(message["seeds"][0]), *self._network_words]
        for name, text in message.get("colors", {}).items():
            words += [f"--{name}", text]
        return {
            "sketch": drawn,
            "portrait": portrait,
            "command": self.tool.command("32_draw_from_sketch", *words),
            "dials": self.tool.command("08_regenerate_images", "--version", "v3", "--from-image", portrait),
        }


def _is_seed(value: object) -> bool:
    return type(value) is int and value in PICTURES


def sheet(strokes: Any) -> np.ndarray:
    """The sheet that strokes leave, black on white: uint8 [512, 512, 3].

    Args:
        strokes: in order, each with `tool` pen or eraser, `width` in 1/256 of the side, and `points` [n, 2]
            in shares of the side.

    Raises:
        UserError: they are something else.
    """
    picture = np.full((SHEET_PX, SHEET_PX, 3), 255, np.uint8)
    try:
        for stroke in strokes:
            is_pen = {"pen": True, "eraser": False}[stroke["tool"]]
            points = np.asarray(stroke["points"], np.float64).reshape(-1, 2)
            width = float(stroke["width"]) / 256 * SHEET_PX * (1 if is_pen else ERASER_FACTOR)
            if not len(points) or not np.isfinite(points).all() or not 0 < width < SHEET_PX:
                raise ValueError("a stroke has points and a width")
            places = (np.clip(points, -1, 2) * SHEET_PX - 0.5) * (1 << SUBPIXEL_BITS)
            line = np.round(np.concatenate([places[:1], places])).astype(np.int32)  # one point is a dot
            color = (17, 17, 17) if is_pen else (255, 255, 255)
            cv2.polylines(picture, [line], False, color, max(1, round(width)), cv2.LINE_AA, SUBPIXEL_BITS)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"the strokes cannot be read ({error})") from error
    return picture


class SketchServer(PageServer):
    """Serves the page to draw on at 127.0.0.1, to as many tabs as are open."""

    page = Path(__file__).with_name("page")
    only_newest_page = False
    largest_message_bytes = LARGEST_SKETCH_BYTES
    refusals = (SketchError, UserError)
    stale_page = "explore was started again since this page was opened. Reload to go on here."

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
