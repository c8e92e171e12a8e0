"""The list of file formats is true: nothing is read but by its readers."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from scripts.pipeline.places import REPOSITORY

LIST = Path(__file__).with_name("file_formats.md")
PACKAGES = ("cnn", "data", "scripts", "segmentation", "stylegan", "stylegan_modified")
# Calls that decode a file, and the only modules that may make them.
READERS = {
    "torch.load": {
        "stylegan/weights_file.py",
        "stylegan/nvidia_pickle.py",
    },  # the latter: storages in a pickle
    "safe_open": {"stylegan/weights_file.py"},
    "load_file": set(),
    "Image.open": {
        "scripts/stages/image_files.py",
        # These read what they have just written themselves, to measure it.
        "scripts/stages/generated_pictures.py",
        "scripts/stages/benchmarks/cnn.py",
        "scripts/stages/training_events.py",
    },
    "cv2.imread": set(),
    "np.load": {"scripts/pipeline/files.py"},
    "pd.read_csv": {"scripts/pipeline/tables.py"},
    "csv.reader": {"scripts/pipeline/journal.py"},
    "csv.DictReader": {"scripts/stages/step_log.py"},  # its own
    "json.load": set(),
    # Metadata of weights; rows of journals.
    "json.loads": {
        "scripts/pipeline/files.py",
        "stylegan/weights_file.py",
        "scripts/stages/aligning.py",
        "scripts/stages/projecting/stage.py",
    },
    "tomllib.loads": {"scripts/pipeline/layers.py"},
    "pickle.load": set(),
    "pickle.loads": set(),
}


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def calls(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if any(name in text for name in READERS):  # else parsing it finds none either
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func)


def test_nothing_is_read_but_by_its_reader() -> None:
    found = {name: set() for name in READERS}
    for path in sources():
        for name in set(calls(path)) & set(READERS):
            found[name].add(path.relative_to(REPOSITORY).as_posix())
    assert found == READERS


def test_listed_readers_exist() -> None:
    named = re.findall(r"`((?:scripts|stylegan)\.[\w.]+)`", LIST.read_text(encoding="utf-8"))
    assert len(named) > 8
    for dotted in named:
        module, _, name = dotted.rpartition(".")
        assert hasattr(import_module(module), name), dotted
