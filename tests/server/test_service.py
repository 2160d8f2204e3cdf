import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.server.conftest import LIMITS
from tests.server.test_app import events
from tests.services import serving
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.model.history import csv_text
from textgen.server import ServerSettings
from textgen.server.app import build_app
from textgen.server.service import Service, names_of, rows
from textgen.support.errors import TextgenError
from textgen.support.files import write_atomic
from textgen.training.live import KEPT, Sample, SampleFile, read_samples


def copied(source: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    for name in ("model.h5", "model.pkl"):
        shutil.copy(source / name, target / name)
    return target


def test_several_models_by_the_names_of_their_folders(trained_dir: Path, tmp_path: Path) -> None:
    one, other = copied(trained_dir, tmp_path / "one"), copied(trained_dir, tmp_path / "other")
    with TestClient(build_app(Service([one, other], LIMITS))) as client:
        names = [model["name"] for model in client.get("/api/models").json()["models"]]
        assert names == ["one", "other"]
        wanted = {"length": 5, "model": "other"}
        assert client.post("/api/generate", json=wanted).json()["model"] == "other"
        assert client.post("/api/generate", json={"length": 5}).json()["model"] == "one"


def test_folders_of_one_name_are_numbered() -> None:
    paths = [Path("a/twain"), Path("b/twain"), Path("c/twain"), Path("x")]
    assert list(names_of(paths)) == ["twain", "twain-2", "twain-3", "x"]


def test_a_folder_without_a_model_is_refused_unless_it_is_watched(tmp_path: Path) -> None:
    with pytest.raises(TextgenError, match="no model in"):
        Service([tmp_path], ServerSettings())
    service = Service([tmp_path], ServerSettings(watch=True))
    with TestClient(build_app(service)) as client:
        (model,) = client.get("/api/models").json()["models"]
        assert (model["ready"], model["watched"]) == (False, True)
        answer = client.post("/api/generate", json={"length": 5})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_newer_model_is_taken_and_texts_under_way_go_on_with_the_old_one(
    trained_dir: Path, tmp_path: Path
) -> None:
    folder = copied(trained_dir, tmp_path / "model")
    service = Service([folder], ServerSettings(max_length=20_000))
    wanted = {"length": 20_000, "random_seed": 1, "stream": True}
    with TestClient(build_app(service)) as client:
        (served,) = service.models.values()
        old = served.loaded
        assert old is not None
        expected = old.generator.generate("", 20_000, random_seed=1)
        with client.stream("POST", "/api/generate", json=wanted) as answer:
            chunks = answer.iter_text()
            content = next(chunks)
            found = checkpoint.load(trained_dir / "latest")
            checkpoint.save(
                folder, found.metadata,
                lambda path: shutil.copyfile(trained_dir / "latest" / "model.h5", path),
            )  # fmt: skip
            served.refresh()
            assert served.loaded is not old
            content += "".join(chunks)
        pieces = [data["text"] for name, data in events(content) if name == "piece"]
        assert "".join(pieces) == expected
        assert client.post("/api/generate", json={"length": 5}).status_code == 200


def test_a_broken_model_is_not_taken_nor_one_without_room(
    trained_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(trained_dir, tmp_path / "model")
    service = Service([folder], ServerSettings())
    (served,) = service.models.values()
    before = served.loaded
    (folder / "model.h5").write_bytes(b"nothing")
    assert not served.refresh()
    assert served.loaded is before

    def too_large(found: checkpoint.Checkpoint, data_dir: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(Generator, "of", too_large)
    copied(trained_dir, folder)
    assert not served.refresh()
    assert served.loaded is before
    service.close()


def test_rows_are_numbers_by_name(tmp_path: Path) -> None:
    assert rows(tmp_path) == []
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n1,2.5,\n2,nan,1.5\n")
    assert rows(tmp_path) == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "val_loss": 1.5}]
    (tmp_path / "history.csv").write_text("no,history\nof,a training,at all\n")
    assert rows(tmp_path) == []


def test_the_view_follows_a_run(tmp_path: Path) -> None:
    """Events come when the files change; those of another folder are not to be had."""
    import urllib.request

    row = {"epoch": 1, "step": 10, "loss": 2.5, "val_loss": 2.75}
    samples = SampleFile(tmp_path)
    (tmp_path / ".textgen").mkdir()
    with serving(tmp_path, flags=("--watch",), measured=False) as service:
        address = f"{service.address}/api/live?model={tmp_path.name}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert next_state(answer) == {"rows": [], "samples": []}
            write_atomic(tmp_path / "history.csv", csv_text([row]).encode())
            assert next_state(answer)["rows"] == [row]
            samples.write(Sample(1, 0.5, "The ", "river"))
            (sample,) = next_state(answer)["samples"]
            assert sample == {"title": "epoch 1, diversity 0.5", "seed": "The ", "text": "river"}
            service.process.terminate()
            assert answer.read().strip() == b"", "the stream ends with the service"
    with serving(tmp_path, flags=("--watch",)) as service:
        assert service.ask("/api/live?model=nothing")[0] == 404


def next_state(answer) -> dict:
    for line in answer:
        if line.startswith(b"data: "):
            return json.loads(line[6:])
    raise AssertionError("the stream has ended")


def test_without_watch_there_is_no_view(client) -> None:
    answer = client.get("/api/live")
    assert answer.status_code == 404
    assert "`watch`" in answer.json()["error"]


def test_only_the_newest_samples_are_kept(tmp_path: Path) -> None:
    assert read_samples(tmp_path) == []
    samples = SampleFile(tmp_path)
    (tmp_path / ".textgen").mkdir()
    for number in range(KEPT + 3):
        samples.write(Sample(number, 1.0, "", "text"))
    titles = [sample["title"] for sample in read_samples(tmp_path)]
    assert titles[:2] == [f"epoch {KEPT + 2}, diversity 1.0", f"epoch {KEPT + 1}, diversity 1.0"]
    assert len(read_samples(tmp_path)) == KEPT
