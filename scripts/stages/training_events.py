"""TensorBoard events of every training: scalars and pictures, beside its CSV log.

    tensorboard --logdir logs

The events are written at once and by this process: TensorBoard's own writer does it in a thread, whose
errors (a full disk) reach the training late, or stop it for good.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from cnn.training import EpochLog
from scripts.pipeline import Tool, files

FOLDER = "events"
LARGEST_PICTURE_PX = 1600
FORMAT = "brain.Event:2"


class TrainingEvents:
    """What one training shows in TensorBoard. Used as a context manager.

    A full disk ends the events, never the training: the log file has the same numbers.

    Args:
        folder: of this training alone; None: nothing is written, as in all but one of several processes.
        say: told, once, when the events end early.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self._file: IO[bytes] | None = None
        self._done = 0

    @classmethod
    def of(cls, tool: Tool, name: str) -> TrainingEvents:
        """Events of the training with this name, in the log folder of a script."""
        return cls(tool.log_dir / FOLDER / name if tool.writes else None, tool.log)

    def __enter__(self) -> TrainingEvents:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def begin(self, done: int) -> None:
        """Open the file.

        Args:
            done: steps that an earlier run took and that count. At 0 the events of earlier trainings are
                removed; otherwise those of later steps, which will be taken again, are declared void.
        """
        self._done = done
        if self.folder is not None:
            with self._trouble_told():
                self._open(self.folder)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers after so many steps; those that are not finite are left out."""
        finite = {tag: value for tag, value in values.items() if math.isfinite(value)}
        self._add(step, [Summary.Value(tag=tag, simple_value=value) for tag, value in finite.items()])

    def picture(self, step: int, name: str, picture: Any) -> None:
        """Add a picture (path, PIL or uint8 array [H, W, 3]) after so many steps.

        A resumed training draws its first preview again; it is in the earlier file.
        """
        if self._file is not None and (step > self._done or self._done == 0):
            self._add(step, [Summary.Value(tag=name, image=_encoded(picture))])

    def _open(self, folder: Path) -> None:
        if self._done == 0:
            files.remove(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb", buffering=0)
        # TensorBoard drops what earlier files have at this step and later.
        for content in ({"file_version": FORMAT}, {"session_log": SessionLog(status=SessionLog.START)}):
            self._write(Event(wall_time=time.time(), step=self._done + 1, **content))

    def _add(self, step: int, values: list[Summary.Value]) -> None:
        with self._trouble_told():
            self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        if self._file is None:
            return
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        if self._file.write(record.getvalue()) < len(record.getvalue()):
            raise OSError("only a part could be written")

    @contextmanager
    def _trouble_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.__exit__()
            with suppress(OSError):  # the log may lie on the same full disk
                self.say(f"No TensorBoard events from here on ({error}); the training and its log go on.")


@contextmanager
def followed_epochs(tool: Tool, name: str) -> Iterator[Callable[[EpochLog], None]]:
    """What `cnn.training.train_fold` is to call after each epoch: events of the fold, and a look at Ctrl-C.

    The epochs of all attempts stand in one row, since a fold is never continued but trained again.
    """
    with TrainingEvents.of(tool, name) as events:
        events.begin(0)
        number = itertools.count(1)

        def on_epoch(log: EpochLog) -> None:
            events.scalars(next(number), {key: value for key, value in log.row().items() if key != "epoch"})
            tool.check_stop()

        yield on_epoch


def _encoded(picture: Path | Image.Image | np.ndarray) -> Summary.Image:
    if isinstance(picture, Path):
        picture = Image.open(picture)
    image = (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
    image.thumbnail((LARGEST_PICTURE_PX, LARGEST_PICTURE_PX))
    data = io.BytesIO()
    image.save(data, "PNG", **files.PNG_OPTIONS)
    return Summary.Image(
        height=image.height, width=image.width, colorspace=3, encoded_image_string=data.getvalue()
    )
