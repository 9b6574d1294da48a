"""SIGTERM is taken for Ctrl-C, and only for as long as a command runs."""

from __future__ import annotations

import signal
import threading

import pytest

from faultline.cli.signals import terminated_in_order


def _terminate() -> None:
    with terminated_in_order():
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_interrupts_also_where_ctrl_c_is_ignored() -> None:
    with pytest.raises(KeyboardInterrupt):
        _terminate()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        with pytest.raises(KeyboardInterrupt):
            _terminate()
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_defers_ctrl_c_defers_sigterm() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        _terminate()
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [signal.SIGTERM]


def test_a_handler_of_ones_own_stays_and_other_threads_have_none() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    try:
        _terminate()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted == [signal.SIGTERM]
    entered: list[bool] = []

    def elsewhere() -> None:
        with terminated_in_order():
            entered.append(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert entered == [True]
