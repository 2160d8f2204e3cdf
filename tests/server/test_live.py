import json
from pathlib import Path

from tests.services import serving
from textgen.server import live
from textgen.support.files import write_atomic
from textgen.training.live import KEPT, Sample, SampleFile, read_samples
from textgen.training.results import csv_text


def test_rows_are_numbers_by_name(tmp_path: Path) -> None:
    assert live.rows(tmp_path) == []
    (tmp_path / "history.csv").write_text("epoch,loss,note,val_loss\n1,2.5,x,\n2,nan,y,1.5,9\n")
    assert live.rows(tmp_path) == [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "val_loss": 1.5}]


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
