"""Ctrl-C between runs."""

from __future__ import annotations

import signal
import threading

import pytest

from faultline.search.interruption import Interruption


def test_the_first_is_noted_and_the_second_obeyed() -> None:
    before = signal.getsignal(signal.SIGINT)
    interruption = Interruption()
    with interruption.deferred():
        assert not interruption.asked
        signal.raise_signal(signal.SIGINT)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_starts_anew_each_time() -> None:
    interruption = Interruption()
    interruption.asked = True
    with interruption.deferred():
        assert not interruption.asked


def test_in_another_thread_it_leaves_signals_alone() -> None:
    seen = []

    def use() -> None:
        with Interruption().deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
