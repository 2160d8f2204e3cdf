import sys
from pathlib import Path

import pytest

from tests.conftest import VERSES, run_python
from textgen.commands import ray
from textgen.model import checkpoint
from textgen.support.errors import TextgenError


def test_flags_of_train_stand_after_two_dashes() -> None:
    options = ray.parser().read(["--num-workers", "2", "--", "--minutes", "1"])
    assert (options.num_workers, options.flags) == (2, ["--minutes", "1"])


def test_ray_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TextgenError, match=r"pip install 'ray\[train\]'"):
        ray.main(["--num-workers", "2"])
    with pytest.raises(TextgenError, match="--num-workers: must be at least 1"):
        ray.main(["--num-workers", "0"])


@pytest.mark.slow
def test_two_workers_of_a_ray_on_this_machine_train(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "input.txt").write_text(VERSES * 4, encoding="utf-8")
    done = run_python(
        "-m", "textgen", "train-on-ray", "--num-workers", 2, "--", "--data-dir", tmp_path,
        "--embedding-size", 8, "--rnn-size", 16, "--num-layers", 1, "--batch-size", 4,
        "--seq-length", 20, "--num-epochs", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path).metadata.training.batch_size == 4
    assert (tmp_path / "history.csv").exists()
