import signal

import pytest

from textgen.training.interruption import Interrupted, Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_between_steps_and_the_second_at_once(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.on_train_batch_begin(0)
        signal.raise_signal(number)
        assert "once more stops at once" in capfd.readouterr().err
        with pytest.raises(Interrupted):
            interruption.on_train_batch_begin(1)
        with pytest.raises(KeyboardInterrupt) as error:
            signal.raise_signal(number)
        assert not isinstance(error.value, Interrupted)
    assert signal.getsignal(number) is before
