"""A model's folder as a model that answers on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.core.errors import EnvironmentFault, RegraftError

if TYPE_CHECKING:
    from regraft.models.machine import Machine
    from regraft.models.served import Served


@contextmanager
def loaded(folder: Path) -> Iterator[tuple[Served, Machine]]:
    """The model in ``folder``, and the machine it is on. EnvironmentFault when it does not load, or does not predict inside."""
    from regraft.models import kinds
    from regraft.models.machine import Machine

    machine = Machine.here()
    machine.apply()
    try:
        yield kinds.load(folder, machine.device), machine
    except RegraftError:
        raise
    except Exception as fault:  # transformers, safetensors and json raise what they like about a damaged folder
        first = (str(fault).strip() or type(fault).__name__).splitlines()[0]
        raise EnvironmentFault(f"the model in {folder} does not load or predict: {first}", fix="regraft doctor") from fault
