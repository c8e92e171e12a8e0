"""The explorer without a browser: pictures, strips, photographs; the same pixels from the command line."""

import io
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pages.explorer import searches
from scripts.pages.explorer.explorer import ExploreError, Explorer
from scripts.pipeline import UserError
from scripts.stages import networks, scores
from scripts.stages import workspace as paths
from scripts.stages.regenerating import photographs
from scripts.stages.regenerating.photographs import PhotographEncoder
from scripts.stages.regenerating.regenerator import Regenerator, exact
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import editing
from stylegan_modified.projection import ProjectionRecipe
from tests.scripts.odd_pictures import with_odd_exif
from tests.scripts.pages.explore_workspace import (
    make_tool,
    make_workspace,
    photograph,
    pixels,
    properties,
    quick_explorer,
    read_png,
    regenerated,
    run_command,
    serving,
    upload,
)
from tests.scripts.pages.page_serving import Tab, use_tab
from tests.stylegan_modified import tiny

SIZE = tiny.RESOLUTION


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("explore"))


@pytest.fixture(scope="module")
def explorer(workspace: Path) -> Explorer:
    return quick_explorer(workspace)


def searched(explorer: Explorer, photograph: str) -> dict:
    """The progress of a search once it has ended."""
    deadline = time.monotonic() + 60
    while (progress := explorer.progress({"photograph": photograph}))["isSearching"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return progress


def test_state_names_versions_and_dials(explorer: Explorer) -> None:
    state = explorer.state()
    assert state["versions"] == ["base", "v1", "v2", "v3"]
    assert [dial["name"] for dial in state["dials"]] == list(PROPERTY_NAMES)
    percentiles = scores.load_statistics(explorer.tool).normalized_percentiles()
    for dial, row in zip(state["dials"], percentiles, strict=True):
        assert row[0] - 0.01 <= dial["min"] <= row[0] < dial["median"] < row[-1] <= dial["max"]
        assert dial["low"] and dial["high"]
    assert state["photographs"] and state["missing"] == {}


@pytest.mark.parametrize("version", ["base", "v1", "v3"])
def test_the_copied_command_makes_the_same_pixels(explorer, workspace, version: str) -> None:
    message = {"version": version, "seed": 7, "properties": properties(mouth=1.2, pose=-0.73, eyes=0.01)}
    answer = explorer.picture(message)
    assert run_command(answer["command"], "--no-measure", "--quiet") == 0
    (again,) = regenerated(workspace)
    np.testing.assert_array_equal(again, pixels(answer["png"]))
    neutral = pixels(explorer.picture({**message, "properties": properties()})["png"])
    assert np.array_equal(neutral, again) == (version == "base")
    assert (answer["own"] is None) == (version != "v3")


def test_a_strip_is_the_sweep_of_the_command(explorer, workspace) -> None:
    message = {"version": "v3", "seed": 3, "properties": properties(eyes=0.5), "dial": "pose", "count": 5}
    answer = explorer.strip(message)
    dial = next(dial for dial in explorer.dials if dial["name"] == "pose")
    values = [picture["value"] for picture in answer["pictures"]]
    assert 0 <= values[0] - dial["min"] < 0.03 and 0 <= dial["max"] - values[-1] < 0.03
    steps = {round(after - before, 6) for before, after in pairwise(values)}
    assert len(steps) == 1 and steps == {round(step, 2) for step in steps}
    clicked = explorer.picture({**message, "properties": message["properties"] | {"pose": values[1]}})
    np.testing.assert_array_equal(pixels(answer["pictures"][1]["png"]), pixels(clicked["png"]))
    assert run_command(answer["command"], "--no-measure", "--quiet") == 0
    again = regenerated(workspace, 5)
    assert len(again) == 5
    for picture, other in zip(answer["pictures"], again, strict=True):
        np.testing.assert_array_equal(pixels(picture["png"]), other)


def test_a_photograph_is_edited_the_same_by_page_and_command(explorer, workspace) -> None:
    content = photograph()
    found = explorer.photograph(upload(content))
    kept = workspace / "explorer/photographs" / found["photograph"]
    assert kept.read_bytes() == content
    assert found["framing"].startswith("taken as it is") and not found["isFaceMissing"]
    np.testing.assert_array_equal(pixels(found["png"]), np.asarray(Image.open(kept)))
    progress = searched(explorer, found["photograph"])
    assert progress["step"] == progress["of"] == 9
    message = {"version": "v3", "photograph": found["photograph"], "properties": progress["own"]}
    whole, turned = explorer.picture(message), progress["own"] | {"mouth": 1.0}
    person = workspace / f"explorer/people/{found['photograph']}.safetensors"
    # Turning no dial gives the projection.
    projection = Regenerator(make_tool(workspace), "v3").found(person)
    np.testing.assert_array_equal(pixels(whole["png"]), projection.picture)
    answer = explorer.picture({**message, "properties": turned})
    assert not np.array_equal(pixels(answer["png"]), projection.picture)
    assert run_command(answer["command"], "--no-measure", "--quiet") == 0
    (again,) = regenerated(workspace)
    np.testing.assert_array_equal(again, pixels(answer["png"]))
    # After explore was started again, the kept photograph and its person are found by their name.
    later = quick_explorer(workspace).photograph({"photograph": found["photograph"]})
    assert not later["isSearching"] and later["own"] == progress["own"]
    with pytest.raises(ExploreError, match="shown by v3 only"):
        explorer.picture({**message, "version": "v2"})
    # A search of other steps does not take up what this one found.
    longer = Explorer(make_tool(workspace), recipe=ProjectionRecipe(w_steps=3, wp_steps=4), tune_steps=3)
    assert longer.photograph({"photograph": found["photograph"]})["of"] == 10
    longer.close()


def test_the_encoder_edits_a_picture_from_the_command_line(workspace, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(editing, "REFINE_STEPS", 3)
    face = tmp_path / "face.png"
    face.write_bytes(photograph())
    script = f"python scripts/08_regenerate_images.py --workspace {workspace} --from-image {face}"
    words = ("--mouth", "1", "--no-measure", "--quiet", "--device", "cpu")
    assert run_command(script, *words) == 0
    row = pd.read_csv(workspace / "stylegan_modified/synthesize_results/images.csv").iloc[0]
    tool = make_tool(workspace)
    encoded = PhotographEncoder(tool, networks.load_generator(tool, "v3"))(face)
    expected = dict(zip(PROPERTY_NAMES, encoded.own, strict=True)) | {"mouth": 1.0}
    requested = [row[f"{name}_requested"] for name in PROPERTY_NAMES]
    np.testing.assert_allclose(requested, list(expected.values()), atol=1e-3)
    assert run_command(script, "--version", "v2") == 2


def test_pictures_come_while_a_person_is_sought_until_somebody_stops(workspace, monkeypatch) -> None:
    monkeypatch.setattr(searches, "SHOWN_EVERY_S", 0.0)
    explorer = Explorer(make_tool(workspace), recipe=ProjectionRecipe(w_steps=10**6), tune_steps=0)
    found = explorer.photograph(upload(photograph(seed=5), "long.png"))
    assert found["isSearching"] and found["of"] > 10**6
    message = {"version": "v3", "photograph": found["photograph"], "properties": found["own"]}
    first = pixels(explorer.picture(message)["png"])
    while explorer.progress({"photograph": found["photograph"]})["step"] < 20:
        time.sleep(0.02)
    stopped = explorer.progress({"photograph": found["photograph"], "stop": True})
    assert not stopped["isSearching"] and 20 <= stopped["step"] < 10**6
    after = pixels(explorer.picture({**message, "properties": stopped["own"]})["png"])
    asked = pixels(found["png"]).astype(float)
    assert np.abs(after - asked).mean() < np.abs(first - asked).mean()
    # Another photograph ends the search for the one before.
    again = explorer.photograph(upload(photograph(seed=5), "long.png"))
    other = explorer.photograph(upload(photograph(seed=6), "other.png"))
    assert again["isSearching"] and other["isSearching"]
    assert not explorer.progress({"photograph": again["photograph"]})["isSearching"]
    explorer.close()
    assert not explorer.progress({"photograph": other["photograph"]})["isSearching"]
    with pytest.raises(ExploreError, match="no such photograph"):
        explorer.progress({"photograph": "nobody.png"})


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyError("No space left")], ids=repr)
def test_a_search_that_fails_says_so(workspace, monkeypatch, error: Exception) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(searches, "save_person", full)
    explorer = quick_explorer(workspace)
    with pytest.raises(UserError, match="No space left"):
        explorer.photograph(upload(photograph(seed=7), "full.png"))
    explorer.close()  # does not wait for a thread that is gone


def test_a_picture_carries_its_settings(explorer: Explorer) -> None:
    message = {"version": "v2", "seed": 12, "properties": properties(hair_length=-0.4)}
    answer = explorer.picture(message)
    text = read_png(answer["png"]).text
    settings = json.loads(text["Settings"])
    assert (settings["version"], settings["seed"]) == ("v2", 12)
    assert settings["properties"] == message["properties"]
    assert re.fullmatch("[0-9a-f]{64}", settings["weights_sha256"])
    assert text["Command"] == answer["command"]
    assert answer["name"] == "v2_seed000012.png"


GOOD = {"version": "v3", "seed": 1, "properties": properties(), "dial": "eyes", "count": 3}
NONSENSE = (
    {"version": "v4"},
    {"seed": -1},
    {"seed": 2**31},
    {"seed": 1.5},
    {"seed": True},
    {"photograph": "../../etc/passwd"},
    {"properties": {"eyes": 1.0}},
    {"properties": properties(eyes=float("nan"))},
    {"properties": properties(eyes="1")},
    {"properties": None},
    {"dial": "ears"},
    {"count": 1000},
)


@pytest.mark.parametrize("wrong", NONSENSE, ids=str)
def test_nonsense_is_refused(explorer: Explorer, wrong: dict) -> None:
    with pytest.raises(ExploreError):
        explorer.strip(GOOD | wrong)


def test_a_person_is_drawn_once_while_only_the_dials_turn(workspace: Path, monkeypatch) -> None:
    explorer = Explorer(make_tool(workspace))
    model, drawn = explorer.regenerator("v3").model, []
    draw = model.person
    monkeypatch.setattr(model, "person", lambda z, psi: drawn.append(z) or draw(z, psi))
    message = {"version": "v3", "seed": 5, "properties": properties(pose=1.0)}
    explorer.picture({**message, "properties": properties()})
    kept = explorer.picture(message)["png"]
    assert len(drawn) == 1
    explorer.picture({**message, "seed": 6})
    assert explorer.picture(message)["png"] == kept and len(drawn) == 3


def test_pictures_are_made_side_by_side(explorer: Explorer) -> None:
    messages = [{"version": "v3", "seed": s, "properties": properties(eyes=s / 4)} for s in range(8)]
    alone = [explorer.picture(message)["png"] for message in messages]
    with ThreadPoolExecutor(4) as threads:
        assert [answer["png"] for answer in threads.map(explorer.picture, messages)] == alone


def test_a_photograph_with_odd_exif_is_taken(explorer: Explorer) -> None:
    odd = with_odd_exif(Image.open(io.BytesIO(photograph())))
    assert explorer.photograph(upload(odd, "odd.jpg"))["framing"].startswith("taken as it is")


def test_unreadable_photographs_are_refused_and_not_kept(explorer: Explorer, workspace: Path) -> None:
    for content in (b"not a picture", photograph()[:60]):
        with pytest.raises(UserError, match="cannot be edited"):
            explorer.photograph(upload(content, "../broken.png"))
    with pytest.raises(ExploreError, match="did not arrive whole"):
        explorer.photograph({"name": "x.png", "content": "?"})
    with pytest.raises(ExploreError, match="no longer in"):
        explorer.photograph({"photograph": "../segmentation/faces.csv"})
    assert not list(workspace.rglob("*broken*"))


def test_photographs_are_cut_to_where_faces_are(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"status": ["ok", "ok", "no_face"], "x0": [8, 8, 0], "y0": [4, 4, 0]})
    table.assign(x1=[24, 24, 0]).to_csv(workspace / photographs.FACES, index=False)
    tool = make_tool(workspace)
    encoder = PhotographEncoder(tool, networks.load_generator(tool, "v3"))
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[100:220, 140:260] = 255
    box = (140.0, 100.0, 260.0, 230.0)
    monkeypatch.setitem(vars(encoder), "_cropper", lambda _: [SimpleNamespace(box=box)])
    picture, framing = encoder.frame(photo)
    assert framing.startswith("cut out around the face")
    inside = np.flatnonzero(picture[SIZE // 2, :, 0] > 127), np.flatnonzero(picture[:, SIZE // 2, 0] > 127)
    assert (inside[0][0], inside[0][-1], inside[1][0], inside[1][-1]) == (8, 23, 4, 19)
    monkeypatch.setitem(vars(encoder), "_cropper", lambda _: [None])
    picture, framing = encoder.frame(photo)
    assert framing.startswith("no face found") and picture.shape == (SIZE, SIZE, 3)
    (workspace / photographs.FACES).unlink()


def test_missing_and_damaged_generators_are_named(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "workspace")
    (workspace / paths.FINE_TUNED["v3"]).unlink()
    explorer = quick_explorer(workspace)
    found = explorer.photograph(upload(photograph()))  # v2 shows photographs, too
    message = {"photograph": found["photograph"], "properties": found["own"]}
    assert explorer.state()["photographVersion"] == explorer.versions[-1] == "v2"
    assert explorer.picture({**message, "version": "v2"})["own"] is not None
    explorer.close()
    (workspace / paths.FINE_TUNED["v2"]).unlink()
    with pytest.raises(ExploreError, match="06_fine_tune_v2"):
        Explorer(make_tool(workspace)).photograph(upload(photograph()))
    (workspace / paths.FINE_TUNED["v1"]).write_bytes(b"half")
    with pytest.raises(UserError, match="fine_tuned_v1"):
        explorer.picture({"version": "v1", "seed": 0, "properties": properties()})


@pytest.mark.parametrize("value", [0.0, -1e-5, 0.1 + 0.2, -2.34, 1e-17, 12345678.9])
def test_numbers_on_the_command_line_read_back_unchanged(value: float) -> None:
    assert float(exact(value)) == value and "e" not in exact(value)


def test_every_tab_may_ask(explorer: Explorer) -> None:
    """What other sites may not do is tested with the label page; it has the same server."""
    message = {"version": "v1", "seed": 1, "properties": properties()}
    with serving(explorer) as server, Tab(server.port) as tab, Tab(server.port):
        tab.check_files()
        status, answer = tab.post("/api/picture", message)
        assert status == 200 and pixels(answer["png"]).shape == (SIZE, SIZE, 3)
        assert tab.post("/api/strip", message)[0] == 409
        assert tab.post("/api/other", message)[0] == 404
        assert tab.post("/api/picture", message, **{"X-Page-Token": ""})[0] == 403
        assert json.loads(tab.get("/api/state")[1])["versions"] == explorer.versions


def test_the_script_runs_until_its_page_is_closed(workspace, monkeypatch, capsys) -> None:
    use_tab(monkeypatch, lambda tab: None)
    assert run_command("python scripts/explore.py", "--workspace", workspace, "--port", 0) == 0
    assert "Explorer: http://127.0.0.1:" in capsys.readouterr().out


def test_an_empty_workspace_exits_3_with_the_command(tmp_path: Path, capsys) -> None:
    assert run_command("python scripts/explore.py", "--workspace", tmp_path, "--no-browser") == 3
    assert "04_compute_property_scores.py" in capsys.readouterr().err
