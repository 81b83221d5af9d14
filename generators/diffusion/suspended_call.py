"""A call that is suspended in its middle, in a thread of its own."""

# pyright: basic

from __future__ import annotations

from collections.abc import Callable
from threading import Semaphore, Thread
from typing import Any

import torch


class _Stopped(BaseException):
    """Ends a suspended call; nothing that catches errors keeps it."""


class SuspendedCall:
    """A function that runs, without gradients, only while `go_on` waits for it: until it ends or calls `pause`.

    It has a thread, not a greenlet: where torch makes an error it reads the whole stack, of which a greenlet's lower
    part is its caller's. That has changed by the time that the greenlet goes on, and reading it ends the process.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.ended = False
        self._function: Callable[[], Any] | None = function
        self._thread: Thread | None = None
        self._may_run, self._has_paused = Semaphore(0), Semaphore(0)
        self._is_stopped = False
        self._result: Any = None
        self._error: BaseException | None = None

    def go_on(self) -> Any:
        """Run until the next `pause`, or to the end, and return or raise what the function does there."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="suspended-call", daemon=True)
            self._thread.start()
        else:
            self._may_run.release()
        self._has_paused.acquire()
        result, self._result = self._result, None
        error, self._error = self._error, None
        if error is not None:
            raise error
        return result

    def pause(self) -> None:
        """Let `go_on` return, and wait for the next one; called by the function."""
        self._has_paused.release()
        self._may_run.acquire()
        if self._is_stopped:
            raise _Stopped

    def stop(self) -> None:
        """End the call where it is."""
        if self._thread is not None and not self.ended:
            self._is_stopped = True
            self._may_run.release()
            self._thread.join()

    def _run(self) -> None:
        function, self._function = self._function, None
        try:
            with torch.no_grad():
                self._result = function() if function else None
        except _Stopped:
            pass
        except BaseException as error:  # for the thread that waits
            self._error = error
        finally:
            del function
            self.ended = True
            self._has_paused.release()
