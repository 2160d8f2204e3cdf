import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.server.conftest import LIMITS
from tests.server.test_app import events
from textgen.generation.generator import Generator
from textgen.model import checkpoint
from textgen.server import ServerSettings
from textgen.server.app import build_app
from textgen.server.service import Service, names_of
from textgen.support.errors import TextgenError


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

    def too_large(found: checkpoint.Checkpoint) -> None:
        raise MemoryError

    monkeypatch.setattr(Generator, "of", too_large)
    copied(trained_dir, folder)
    assert not served.refresh()
    assert served.loaded is before
    service.close()
