import contextlib
import gc
import signal
import threading

import pytest
from threadpoolctl import threadpool_info

from textgen.support import parallel
from textgen.support.parallel import (
    StopSignals,
    map_in_threads,
    single_threaded_blas,
    without_garbage_collection,
)


def blas_threads() -> set[int]:
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_the_matrix_library_has_one_thread_until_the_last_block_ends() -> None:
    import numpy as np  # loads it

    assert np.ones(3).sum() == 3
    before = blas_threads()
    first, second = single_threaded_blas(), single_threaded_blas()
    first.__enter__()
    assert blas_threads() == {1}
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == {1}, "the second block has not ended"
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_garbage_collection_is_held_back_and_left_as_it_was() -> None:
    assert gc.isenabled()
    with contextlib.suppress(ValueError), without_garbage_collection():
        with without_garbage_collection():
            pass
        assert not gc.isenabled(), "the outer block has not ended"
        raise ValueError
    assert gc.isenabled()


@pytest.mark.parametrize("cores", [1, 2, 3])
@pytest.mark.parametrize("number", [0, 1, 5, 12])
def test_results_come_in_order(cores: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: cores)
    threads = set()

    def work(parts, given_up):
        threads.add(threading.get_ident())
        return [part * 10 for part in parts]

    assert map_in_threads(work, range(number), 4) == [10 * part for part in range(number)]
    assert len(threads) <= max(1, min(cores, number // 4))


def test_shares_really_run_map_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    meeting = threading.Barrier(2, timeout=60)  # passes only if both shares run at once

    def work(parts, given_up):
        meeting.wait()
        return list(parts)

    assert map_in_threads(work, range(8), 4) == list(range(8))


def test_after_an_error_the_others_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    def work(parts, given_up):
        if parts[0] == 0:
            raise ZeroDivisionError
        assert given_up.wait(60)
        return list(parts)

    with pytest.raises(ZeroDivisionError):
        map_in_threads(work, range(8), 4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_stops_at_once(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    stopped: list[bool] = []
    with StopSignals("saving", lambda: stopped.append(True)) as signals:
        assert not signals.requested
        signal.raise_signal(number)
        assert "saving; once more stops at once" in capfd.readouterr().err
        assert stopped == [True]
        assert signals.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before
