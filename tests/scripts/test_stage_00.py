"""Weights come from the bundle, a folder or a server that breaks off, and never half."""

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from scripts.pipeline import downloads
from scripts.pipeline.layers import REPOSITORY
from stylegan.checkpoint import save_checkpoint
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

SCRIPT = REPOSITORY / "scripts" / "00_fetch_weights.py"
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
    thread = threading.Thread(target=server.serve_forever)
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


def test_a_server_without_ranges_starts_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    downloads.part_path(target).write_bytes(b"old")
    assert fetch(server, "/no-ranges", target).read_bytes() == PAYLOAD


def test_bytes_from_elsewhere_are_not_joined(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    downloads.part_path(target).write_bytes(PAYLOAD[:100])
    with pytest.raises(downloads.DownloadError, match="other bytes than were asked for"):
        fetch(server, "/other-bytes", target)
    assert fetch(server, "/other-bytes", target).read_bytes() == PAYLOAD


def test_without_a_checksum_nothing_is_continued(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    downloads.part_path(target).write_bytes(b"bytes of who knows what")
    assert fetch(server, "/", target, sha256=None).read_bytes() == PAYLOAD


def test_a_larger_file_than_was_promised_is_refused(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    url, check = f"http://127.0.0.1:{server.server_port}/", downloads.Check(1000, SHA256)
    with pytest.raises(downloads.DownloadError, match="more than 1000 bytes"):
        downloads.download(url, tmp_path / "model.pt", check, schemes=("http",))
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_of_a_checksum_is_enough(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    assert fetch(server, "/", tmp_path / "a.pt", sha256=SHA256[:8]).read_bytes() == PAYLOAD
    with pytest.raises(downloads.DownloadError, match="its sha256 is"):
        fetch(server, "/", tmp_path / "b.pt", sha256="f" * 8)


def test_a_wrong_file_is_thrown_away(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    with pytest.raises(downloads.DownloadError, match="its sha256 is"):
        fetch(server, "/", target, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"), [("/missing", "the server answered 404"), ("https", "only https is accepted")]
)
def test_dead_and_insecure_sources(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(downloads.DownloadError, match=message):
        if path == "https":
            downloads.download("http://127.0.0.1/x", tmp_path / "x", downloads.Check())
        fetch(server, path, tmp_path / "x")


def test_no_connection(tmp_path: Path) -> None:
    with pytest.raises(downloads.DownloadError, match="no connection"):
        downloads.download("http://127.0.0.1:9/x", tmp_path / "x", downloads.Check(), schemes=("http",))


WEIGHTS = """
[[weights]]
path = "stylegan/stylegan_model.pth"
names = ["other_name.pth"]
is_stylegan = true
found_at = "the model zoo"

[[weights]]
path = "segmentation/models/segmentation_model.pt"
urls = ["https://127.0.0.1:9/model.pt"]
size_bytes = {size}
sha256 = "{sha256}"
found_at = "the hub"

[[weights]]
path = "segmentation/models/mtcnn_pnet.pt"
package = "facenet_pytorch/data/pnet.pt"
"""


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A folder that holds what the user fetched: a tiny StyleGAN under another name and a parser."""
    torch.manual_seed(0)
    sizes = {"fmaps_base": 32, "fmaps_max": 8}
    generator = StyleGANGenerator(8, z_space_dim=8, w_space_dim=8, mapping_layers=2, mapping_fmaps=8, **sizes)
    folder = tmp_path / "by_hand"
    save_checkpoint(
        folder / "other_name.pth",
        generator=generator.state_dict(),
        discriminator=StyleGANDiscriminator(8, **sizes).state_dict(),
        generator_smooth=generator.state_dict(),
    )
    (folder / "segmentation_model.pt").write_bytes(PAYLOAD)
    return folder


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    config = tmp_path / "weights.toml"
    config.write_text(WEIGHTS.format(size=len(PAYLOAD), sha256=SHA256))
    return ["--workspace", tmp_path / "workspace", "--config", config]


def files_below(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(("_stages/", "logs/"))}


def test_files_from_a_folder(run_script, arguments: list[object], by_hand: Path, tmp_path: Path) -> None:
    result = run_script(SCRIPT, *arguments, "--from", by_hand)
    assert result.returncode == 0, result.stderr
    workspace = tmp_path / "workspace"
    assert files_below(workspace) == {
        "stylegan/stylegan_model.pth",
        "segmentation/models/segmentation_model.pt",
        "segmentation/models/mtcnn_pnet.pt",
    }
    assert "up to date" in run_script(SCRIPT, *arguments, "--from", by_hand).stdout

    # The checksum of the generator is not published, so the first one counts from now on.
    record = json.loads((workspace / "_stages/00_fetch_weights/files.json").read_text())
    assert len(record["stylegan/stylegan_model.pth"]) == 64
    target = workspace / "stylegan/stylegan_model.pth"
    target.write_bytes(target.read_bytes()[:-100])
    (workspace / "segmentation/models/mtcnn_pnet.pt").unlink()
    changed = run_script(SCRIPT, *arguments, "--from", by_hand)
    assert changed.returncode == 5
    assert "its sha256 is" in changed.stderr
    assert run_script(SCRIPT, *arguments, "--from", by_hand, "--force").returncode == 0


def test_without_network_it_says_what_to_place_where(
    run_script, arguments: list[object], by_hand: Path, tmp_path: Path
) -> None:
    result = run_script(SCRIPT, *arguments)
    assert result.returncode == 5
    size = f"{len(PAYLOAD)} bytes"
    for text in ("other_name.pth", "the model zoo", "the hub", SHA256, size, "--from FOLDER"):
        assert text in result.stderr
    assert "no connection" in result.stderr
    assert "Traceback" not in result.stderr
    assert files_below(tmp_path / "workspace") == {"segmentation/models/mtcnn_pnet.pt"}
    assert run_script(SCRIPT, *arguments, "--from", by_hand).returncode == 0


def test_bad_files_never_get_a_final_name(
    run_script, arguments: list[object], by_hand: Path, tmp_path: Path
) -> None:
    (by_hand / "segmentation_model.pt").write_bytes(PAYLOAD[:-1])
    (by_hand / "other_name.pth").write_bytes(b"not a checkpoint")
    result = run_script(SCRIPT, *arguments, "--from", by_hand)
    assert result.returncode == 5
    assert f"it has {len(PAYLOAD) - 1} bytes instead of {len(PAYLOAD)}" in result.stderr
    assert "Traceback" not in result.stderr
    assert files_below(tmp_path / "workspace") == {"segmentation/models/mtcnn_pnet.pt"}


def load_script():
    spec = importlib.util.spec_from_file_location("fetch_weights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("preset", ["embedded", "celeba256", "smoke"])
def test_presets_list_their_weights(preset: str) -> None:
    script = load_script()
    wanted = script.weight_files(script.Options(preset=preset))
    paths = [file.path for file in wanted]
    assert "stylegan/stylegan_model.pth" in paths
    assert len(set(paths)) == len(paths)
    for file in wanted:
        assert file.found_at
        assert file.sha256 == "" or len(file.sha256) == 64
        assert all(url.startswith("https://") for url in file.urls)
        assert file.bundled == "" or preset != "celeba256"


def test_labels_of_the_user_survive(run_script, tmp_path: Path) -> None:
    """The bundle fills the workspace; a label file that the user changed is kept, even by --force."""
    workspace = tmp_path / "workspace"
    assert run_script(SCRIPT, "--workspace", workspace).returncode == 0
    labels = workspace / "cnn/synthesize_results_quality_and_gender.csv"
    bundled = labels.read_bytes()
    assert bundled.startswith(b"img_name,quality,gender")
    labels.write_bytes(bundled + b"mine\n")
    assert run_script(SCRIPT, "--workspace", workspace, "--force").returncode == 0
    assert labels.read_bytes() == bundled + b"mine\n"
    labels.unlink()
    assert run_script(SCRIPT, "--workspace", workspace, "--force").returncode == 0
    assert labels.read_bytes() == bundled


@pytest.mark.parametrize("is_from_folder", [False, True])
def test_a_file_that_was_put_but_not_remembered_is_known_again(
    run_script, tmp_path: Path, is_from_folder: bool
) -> None:
    labels = "cnn/synthesize_results_quality_and_gender.csv"
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / Path(labels).name).write_text("img_name,quality,gender\n")
    words = ("--workspace", tmp_path, *(("--from", tmp_path / "given") if is_from_folder else ()))
    assert run_script(SCRIPT, *words).returncode == 0
    record = tmp_path / "_stages/00_fetch_weights/files.json"
    remembered = json.loads(record.read_text())
    record.write_text(json.dumps({name: sha for name, sha in remembered.items() if name != labels}))
    (tmp_path / "_stages/00_fetch_weights/_stage.json").unlink()  # as a run leaves it that was killed
    assert run_script(SCRIPT, *words).returncode == 0
    assert json.loads(record.read_text()) == remembered
