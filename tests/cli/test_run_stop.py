import os
import signal

import pytest

from sam3_edge.run_stop import StopSignal

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", _NUMBERS)
def test_the_first_asks_and_everything_is_as_before(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in _NUMBERS]
    with StopSignal() as stop:
        assert not stop.requested()
        os.kill(os.getpid(), number)
        assert stop.requested()
    assert [signal.getsignal(each) for each in _NUMBERS] == before


def test_the_second_interrupts_but_for_a_terminal_that_goes() -> None:
    with StopSignal() as stop:
        for number in (signal.SIGHUP, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert stop.requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_under_nohup_the_terminal_may_go() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested()
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
