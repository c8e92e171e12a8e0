"""Weights come from the bundle, a folder or a server that breaks off: never half, never others in silence."""

import hashlib
import importlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from scripts import make_labels
from scripts.pipeline import REPOSITORY
from scripts.pipeline.places import PRESETS
from scripts.stages.fetching import downloads
from scripts.stages.workspace import ORACLE
from stylegan.checkpoint import save_checkpoint, weights_id
from stylegan_modified.stylegan_generator import transplant
from tests.processes import exit_code
from tests.stylegan import tiny

PAYLOAD = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves PAYLOAD: whole, with, without or with wrong ranges, breaking off half-way, or not at all."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range", "")))
        if self.path == "/missing":
            self.send_error(404)
            return
        start = 0
        if "Range" in self.headers and self.path != "/no-ranges":
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(PAYLOAD):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        body = PAYLOAD[start:]
        self.send_header("Content-Length", str(len(body)))
        if start:
            last = len(PAYLOAD) - 1
            first = 7 if self.path == "/other-bytes" else start
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(PAYLOAD)}")
        self.end_headers()
        breaks_off = self.path == "/breaks-off" and not start
        self.wfile.write(body[: len(body) // 2] if breaks_off else body)

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server: ThreadingHTTPServer, path: str, target: Path, sha256: str | None = SHA256) -> Path:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return downloads.download(url, target, downloads.Check(len(PAYLOAD), sha256), schemes=("http",))


def test_a_broken_download_goes_on_behind_its_bytes(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    with pytest.raises(downloads.DownloadError):
        fetch(server, "/breaks-off", target)
    kept = downloads.part_path(target).stat().st_size
    assert len(PAYLOAD) / 4 < kept <= len(PAYLOAD) / 2
    assert not target.exists()
    assert fetch(server, "/breaks-off", target).read_bytes() == PAYLOAD
    assert [wanted for _, wanted in server.requests] == ["", f"bytes={kept}-"]
    assert fetch(server, "/", target).read_bytes() == PAYLOAD
    assert server.requests[-1][1] == f"bytes={len(PAYLOAD)}-"


def test_bytes_from_elsewhere_are_not_joined(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    downloads.part_path(target).write_bytes(PAYLOAD[:100])
    with pytest.raises(downloads.DownloadError, match="other bytes than were asked for"):
        fetch(server, "/other-bytes", target)
    assert fetch(server, "/other-bytes", target).read_bytes() == PAYLOAD


@pytest.mark.parametrize(("path", "sha256"), [("/no-ranges", SHA256), ("/", None)])
def test_without_ranges_or_a_checksum_it_starts_again(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, sha256: str | None
) -> None:
    target = tmp_path / "model.pt"
    downloads.part_path(target).write_bytes(b"bytes of who knows what")
    assert fetch(server, path, target, sha256=sha256).read_bytes() == PAYLOAD


@pytest.mark.parametrize(
    ("path", "size", "sha256", "message"),
    [
        ("/", 1000, SHA256, "more than 1000 bytes"),
        ("/", len(PAYLOAD), "0" * 64, "its sha256 is"),
        ("/", len(PAYLOAD), "f" * 8, "its sha256 is"),
        ("/missing", None, None, "the server answered 404"),
        ("http://127.0.0.1:9/x", None, None, "no connection"),
        ("ftp://127.0.0.1:9/x", None, None, "only http is accepted"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, size: int | None, sha256: str | None, message: str
) -> None:
    url = f"http://127.0.0.1:{server.server_port}{path}" if path.startswith("/") else path
    with pytest.raises(downloads.DownloadError, match=message):
        downloads.download(url, tmp_path / "model.pt", downloads.Check(size, sha256), schemes=("http",))
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_of_a_checksum_is_enough_and_http_is_not(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    assert fetch(server, "/", tmp_path / "a.pt", sha256=SHA256[:8]).read_bytes() == PAYLOAD
    with pytest.raises(downloads.DownloadError, match="only https is accepted"):
        downloads.download("http://127.0.0.1/x", tmp_path / "x", downloads.Check())


TARGET, LABELS = "stylegan/stylegan_model.pth", "cnn/synthesize_results_quality_and_gender.csv"
PARSER, DETECTOR = "segmentation/models/segmentation_model.pt", "segmentation/models/mtcnn_pnet.pt"
PACKAGE = f"""
[[weights]]
path = "{DETECTOR}"
package = "facenet_pytorch/data/pnet.pt"
found_at = "the package"
"""
BUNDLED = f"""
[[weights]]
path = "{TARGET}"
bundled = "data/embedded/stylegan_model.safetensors"
is_stylegan = true
found_at = "data/embedded of this repository"

[[weights]]
path = "{LABELS}"
bundled = "data/embedded/synthesize_results_quality_and_gender.csv"
user_may_edit = true
found_at = "data/embedded of this repository"
{PACKAGE}
[01_generate_candidates]
count = 4
"""
PUBLISHED = f"""
[[weights]]
path = "{TARGET}"
names = ["other_name.pth"]
is_stylegan = true
found_at = "the model zoo"

[[weights]]
path = "{PARSER}"
urls = ["https://127.0.0.1:9/model.pt"]
size_bytes = {len(PAYLOAD)}
sha256 = "{SHA256[:8]}"
found_at = "the hub"
licence = "for research only"
{PACKAGE}"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs 00 (or another script) on the workspace in this process: exit code, and all that it said."""
    config = tmp_path / "options.toml"

    def run(*arguments: object, toml: str = BUNDLED, name: str = "00_fetch_weights") -> tuple[int, str]:
        config.write_text(toml)
        words = ("--workspace", tmp_path / "workspace", "--config", config, "--device", "cpu", *arguments)
        code = exit_code(name, *words)
        output = capsys.readouterr()
        return code, output.out + output.err

    return run


def make_weights(path: Path, salt: int = 0) -> str:
    """A generator trained on one's own photographs, as train_stylegan writes it; its weights id."""
    generator = tiny.generator().state_dict()
    generator["truncation.w_avg"] += salt
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        path.with_suffix(".safetensors"),
        generator=generator,
        discriminator=tiny.discriminator().state_dict(),
        generator_smooth={name: value.clone() for name, value in generator.items()},
    )
    path.with_suffix(".safetensors").replace(path)
    return weights_id(path)


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A folder that holds what the user fetched: a tiny StyleGAN under another name and a parser."""
    make_weights(tmp_path / "by_hand/other_name.pth")
    (tmp_path / "by_hand/segmentation_model.pt").write_bytes(PAYLOAD)
    return tmp_path / "by_hand"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / TARGET


def files_below(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("_stages/", "logs/"))}


def test_files_from_a_folder(run: Callable, by_hand: Path, tmp_path: Path, place: Path) -> None:
    code, said = run("--from", by_hand, toml=PUBLISHED)
    assert code == 0, said
    workspace = tmp_path / "workspace"
    assert files_below(workspace) == {TARGET, PARSER, DETECTOR}
    assert "up to date" in run("--from", by_hand, toml=PUBLISHED)[1]

    # The checksum of the generator is not published, so the first one counts from now on.
    record = json.loads((workspace / "_stages/00_fetch_weights/files.json").read_text())
    assert len(record[TARGET]) == 64
    place.write_bytes(place.read_bytes()[:-100])
    (workspace / DETECTOR).unlink()
    code, said = run("--from", by_hand, toml=PUBLISHED)
    assert code == 5 and "its sha256 is" in said
    assert run("--from", by_hand, "--force", toml=PUBLISHED)[0] == 0


def test_without_network_it_says_what_to_place_where(run: Callable, by_hand: Path, tmp_path: Path) -> None:
    code, said = run(toml=PUBLISHED)
    assert code == 5
    size = f"{len(PAYLOAD)} bytes"
    for text in (
        "other_name.pth",
        "the model zoo",
        "the hub",
        SHA256[:8],
        size,
        "segmentation_model.pt: for research only",
        "--from FOLDER",
        "no connection",
    ):
        assert text in said
    assert files_below(tmp_path / "workspace") == {DETECTOR}
    assert run("--from", by_hand, toml=PUBLISHED)[0] == 0


def test_bad_files_never_get_a_final_name(run: Callable, by_hand: Path, tmp_path: Path) -> None:
    (by_hand / "segmentation_model.pt").write_bytes(PAYLOAD[:-1])
    (by_hand / "other_name.pth").write_bytes(b"not a checkpoint")
    code, said = run("--from", by_hand, toml=PUBLISHED)
    assert code == 5
    assert f"it has {len(PAYLOAD) - 1} bytes instead of {len(PAYLOAD)}" in said
    assert files_below(tmp_path / "workspace") == {DETECTOR}


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.toml")))
def test_presets_list_their_weights(preset: str) -> None:
    script = importlib.import_module("scripts.00_fetch_weights")
    wanted = script.weight_files(script.Options(preset=preset))
    paths = [file.path for file in wanted]
    assert TARGET in paths and len(set(paths)) == len(paths)
    assert (ORACLE in paths) == (
        preset in ("embedded", "portraits_stylegan2", "smoke")  # photographs.toml leaves its base's out
    )
    assert all(file.found_at and all(url.startswith("https://") for url in file.urls) for file in wanted)
    assert all(len(file.sha256) in (8, 64) for file in wanted if file.sha256)
    assert all(file.licence for file in wanted if file.urls and not file.package)
    assert all((REPOSITORY / file.bundled).is_file() for file in wanted if file.bundled)


def test_labels_of_the_user_survive(run: Callable, tmp_path: Path, place: Path) -> None:
    """The bundle fills the workspace; a label file that the user changed is kept, even by --force."""
    code, said = run()
    assert code == 0 and f"weights {weights_id(place)}, converted from data/embedded" in said
    labels = tmp_path / "workspace" / LABELS
    bundled = labels.read_bytes()
    assert bundled.startswith(b"img_name,quality,gender")
    labels.write_bytes(bundled + b"mine\n")
    assert run("--force")[0] == 0
    assert labels.read_bytes() == bundled + b"mine\n"
    labels.unlink()
    assert run("--force")[0] == 0
    assert labels.read_bytes() == bundled


@pytest.mark.parametrize("is_from_folder", [False, True])
def test_a_file_that_was_put_but_not_remembered_is_known_again(
    run: Callable, tmp_path: Path, is_from_folder: bool
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / Path(LABELS).name).write_text("img_name,quality,gender\n")
    words = ("--from", tmp_path / "given") if is_from_folder else ()
    assert run(*words)[0] == 0
    record = tmp_path / "workspace/_stages/00_fetch_weights/files.json"
    remembered = json.loads(record.read_text())
    record.write_text(json.dumps({name: sha for name, sha in remembered.items() if name != LABELS}))
    record.with_name("_stage.json").unlink()  # as a run leaves it that was killed
    assert run(*words)[0] == 0
    assert json.loads(record.read_text()) == remembered


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mine/stylegan_model.safetensors", "mine"),  # as train_stylegan leaves it
        ("mine/stylegan_model.pth", "mine"),  # renamed
        ("mine/my own faces.ckpt", "mine"),  # found by its contents
        ("mine/best.safetensors", "mine/best.safetensors"),  # one file
        ("workspace/stylegan/stylegan_model.safetensors", ""),  # laid beside its place
    ],
)
def test_a_generator_of_one_s_own_enters_the_row(
    run: Callable, tmp_path: Path, place: Path, name: str, given: str
) -> None:
    mine = make_weights(tmp_path / name)
    (tmp_path / "mine").mkdir(exist_ok=True)
    (tmp_path / "mine" / "checkpoint.pt").write_bytes(b"state of the training")
    words = ("--from", tmp_path / given) if given else ()
    code, said = run(*words)
    assert code == 0, said
    assert weights_id(place) == mine
    assert torch.load(place, weights_only=True)["generator"].keys()  # other programs can read it, too
    line = next(line for line in said.splitlines() if line.startswith("  generator: "))
    assert "16x16" in line and mine in line and str(tmp_path / name) in line
    assert run(*words)[1].count("up to date") == 1
    assert run()[1].count("up to date") == 1
    assert weights_id(place) == mine
    if given == "mine":
        assert "not used: " in said and "checkpoint.pt" in said
        code, said = run(name="01_generate_candidates")
        assert code == 0 and str(tmp_path / name) in said and mine in said


@pytest.mark.parametrize("state", ["new", "complete", "forced"])
@pytest.mark.parametrize("content", ["nothing", "pickle", "no folder"])
def test_a_source_that_gives_nothing_is_refused(
    run: Callable, tmp_path: Path, place: Path, state: str, content: str
) -> None:
    """Before anything of an earlier run is removed."""
    if state != "new":
        make_weights(tmp_path / "workspace/stylegan/stylegan_model.safetensors")
        assert run()[0] == 0
    source = tmp_path / "given"
    if content != "no folder":
        source.mkdir()
    if content == "pickle":
        torch.save(torch.nn.Linear(2, 2), source / "ffhq.pkl")
    code, said = run("--from", source, *(["--force"] if state == "forced" else []))
    assert code == 5 and str(source) in said and "Traceback" not in said
    assert ("ffhq.pkl is refused: it holds a whole network" in said) == (content == "pickle")
    assert place.exists() == (state != "new")


def test_another_generator_than_the_one_in_place_is_not_ignored(
    run: Callable, tmp_path: Path, place: Path
) -> None:
    first, second = make_weights(tmp_path / "a/a.pth"), make_weights(tmp_path / "b/b.pth", 1)
    assert run("--from", tmp_path / "a")[0] == 0
    code, said = run("--from", tmp_path / "b")
    assert code == 5 and "--force" in said and str(tmp_path / "b/b.pth") in said
    assert weights_id(place) == first
    record = tmp_path / "workspace/_stages/00_fetch_weights/_stage.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running"}))  # as if killed
    assert run("--from", tmp_path / "b")[0] == 5
    assert run("--from", tmp_path / "b", "--force")[0] == 0
    assert weights_id(place) == second
    make_weights(place.with_suffix(".safetensors"))
    code, said = run()
    assert code == 5 and "stylegan_model.safetensors is another file" in said


def test_several_and_wrong_generators_are_named(run: Callable, tmp_path: Path, place: Path) -> None:
    for name in ("one.pth", "other.safetensors"):
        make_weights(tmp_path / "mine" / name)
    code, said = run("--from", tmp_path / "mine")
    assert code == 5 and "one.pth, other.safetensors" in said
    fine_tuned = transplant(tiny.generator()).state_dict()
    (tmp_path / "tuned").mkdir()
    torch.save(fine_tuned, tmp_path / "tuned/stylegan_model.pth")
    code, said = run("--from", tmp_path / "tuned")
    assert code == 5 and f"{tmp_path / 'tuned/stylegan_model.pth'} cannot be used" in said
    assert "with 7 properties" in said and ".tmp-" not in said
    assert not place.exists()


def test_weights_that_would_have_no_say_are_refused() -> None:
    with pytest.raises(ValueError, match="--weights has no say"):
        make_labels.Options(from_workspace=True, weights=Path("mine.safetensors"))
