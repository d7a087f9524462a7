"""Is this Python, with these libraries, one that regraft can work with?

Libraries are checked by their metadata: importing them costs seconds, and some of the bad ones cannot be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from regraft.upkeep.doctor.check import Check

KNOWN_BAD = {
    "fastapi": "from 0.151 on the Prefect server cannot start: Body() got an unexpected keyword argument 'min_items'",
    "sqlalchemy": "with 2.1 the Prefect server looks healthy, but schedules never produce a run",
    "prefect": "the flows were tried with 3.8.8; 3.9.1 wants a newer certifi than the rest of the stack allows",
    "mlflow": "aliases, the sqlite store and loading without pickle were tried with 3.17",
    "torch": "results have the same bits within one version of torch only",
}
"""What goes wrong outside the supported range, where the library does not say so itself."""

TELEMETRY_OFF = {
    "DO_NOT_TRACK": True,
    "PREFECT_SERVER_ANALYTICS_ENABLED": False,
    "MLFLOW_DISABLE_TELEMETRY": True,
    "GX_ANALYTICS_ENABLED": False,
    "DVC_NO_ANALYTICS": True,
    "HF_HUB_DISABLE_TELEMETRY": True,
    "RAY_USAGE_STATS_ENABLED": False,
}


def installed(distribution: str) -> str | None:
    """Version of ``distribution``, without importing it; None: it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def python() -> Iterator[Check]:
    """This interpreter against ``Requires-Python`` of the installed regraft."""
    running = ".".join(map(str, sys.version_info[:3]))
    if not installed("regraft"):
        yield Check("python", "warn", f"{running}; regraft runs without being installed, so versions are not checked", "pip install -e .")
        return
    wanted = metadata("regraft")["Requires-Python"]
    if SpecifierSet(wanted).contains(running, prereleases=True):
        yield Check("python", "ok", running)
    else:
        fix = f"make a virtual environment with Python {wanted}"
        yield Check("python", "bad", f"{running}; regraft {version('regraft')} needs {wanted}", fix)


def libraries() -> Iterator[Check]:
    """Installed versions against the ranges in regraft's own metadata; optional libraries only where they are installed."""
    if not installed("regraft"):
        return
    good = 0
    for text in requires("regraft") or ():
        requirement = Requirement(text)
        optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if fault := _fault(requirement, optional):
            pinned = f"{requirement.name}{requirement.specifier}"
            yield Check(requirement.name, "warn" if optional else "bad", fault, f"pip install '{pinned}'")
        else:
            good += not optional
    yield Check("libraries", "ok", f"{good} in the ranges that regraft {version('regraft')} supports")


def _fault(requirement: Requirement, optional: bool) -> str | None:
    """What is wrong with the installed version; None: it is in the range, or not needed."""
    present = installed(requirement.name)
    if present is None:
        # find_spec("mlflow") says yes even so: the folder mlflow/ of a workspace passes for a namespace package.
        hint = " (`import mlflow` finds the workspace's folder mlflow/)" if requirement.name == "mlflow" else ""
        return None if optional else f"not installed{hint}"
    if requirement.specifier.contains(present, prereleases=True):
        return None
    reason = KNOWN_BAD.get(requirement.name.lower())
    return f"{present} is outside {requirement.specifier}" + (f"; {reason}" if reason else "")


def telemetry() -> Iterator[Check]:
    """Which dependency may report home, because the environment says so."""
    on = [name for name, off in TELEMETRY_OFF.items() if name in os.environ and _true(os.environ[name]) is not off]
    if on:
        settings = ", ".join(f"{name}={os.environ[name]}" for name in on)
        yield Check("telemetry", "warn", f"the environment turns it on: {settings}", f"unset {' '.join(on)}")
    else:
        yield Check("telemetry", "ok", "off in every dependency")


def _true(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on")
