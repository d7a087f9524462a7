"""A training that is asked to stop where a test wants it to, as by Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from regraft.core.progress import STOP
from regraft.training.loop import Training


@contextmanager
def stopped_at(*steps: int, training: str | None = None) -> Iterator[None]:
    """Inside, the trainings called ``training`` (None: all) are asked to stop once after each of these steps, in their order.

    Whoever goes on with one calls ``STOP.clear()`` first; at the end of the block it is cleared.
    """
    plain, left = Training._stop_or_save, list(steps)

    def stopping(self: Training, phase: Any, optimizer: Any, done: int) -> None:
        if left and done == left[0] and training in (None, self.name):
            del left[0]
            STOP.set()
        plain(self, phase, optimizer, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_stop_or_save", stopping)
        try:
            yield
        finally:
            STOP.clear()
