"""Being told to end, by Ctrl-C, `kill` or a lost terminal: what was measured is kept, what was started is ended, and at
last this process dies of that signal.

Until listen() a signal simply ends us, since there is nothing to keep; in `held` blocks it waits, so that no program is
started without our knowing its process.
SPDX-License-Identifier: MIT"""
import contextlib
import os
import signal
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The terminal sends a signal to everyone, and the one who closes it may send one more: only later ones are impatience.
IMPATIENT_SECONDS = 1


class State:
    received = None
    moment = 0.0
    holds = 0
    is_waiting = False
    # What ends all that was started, for the impatient.
    end_all = staticmethod(lambda: None)


def by_default():
    """From the first instruction on. The command `hakmem` has them blocked until here."""
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def listen():
    """From now on there is something to keep. What is ignored (as by nohup) stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, take)


def take(number, _frame):
    now = time.monotonic()
    if State.received is None:
        State.received, State.moment = number, now
    elif now - State.moment < IMPATIENT_SECONDS:
        return
    else:
        State.end_all()
        die()
    if State.holds:
        State.is_waiting = True
    else:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held():
    """For a few instructions that have to be done together, and never long."""
    State.holds += 1
    try:
        yield
    finally:
        State.holds -= 1
        if State.is_waiting and not State.holds:
            State.is_waiting = False
            raise KeyboardInterrupt


def die():
    """Of the signal that was received; the first process of a container does not, and ends with a shell's status."""
    signal.signal(State.received, signal.SIG_DFL)
    os.kill(os.getpid(), State.received)
    os._exit(128 + State.received)


def status():
    """The exit status of whoever ends early; a shell sees the same when we die of the signal."""
    return 128 + (State.received or signal.SIGINT)


def is_interrupted():
    return State.received is not None


