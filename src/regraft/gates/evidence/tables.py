"""The tables that gates declare, beside a decision: copied and hashed when it is taken, found and read again years later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.gates.evidence import unchanged
from regraft.gates.tables import Table

OF_SCHEMA_2 = {"probes": "probes.parquet", "general": "general.parquet", "earlier_tasks": "earlier_tasks.parquet"}
"""Key of a decision up to schema 2 that held the sha256 of one table -> its file."""


def keep(artifacts: Path, evidence: Path, tables: Iterable[Table[Any]], measured: Mapping[str, Path]) -> dict[str, str]:
    """Copy ``tables`` into the evidence; ``{file: its sha256}``.

    :param artifacts: the folder with the outputs of the pipeline's steps.
    :param measured: key of a table -> its file, of what no step leaves.
    :raises EnvironmentFault: a table is not there that a gate cannot do without.
    """
    hashes = {}
    for table in tables:
        source = measured.get(table.key) if table.step is None else artifacts / table.step / "out" / table.path
        target = evidence / table.file
        if source is None or not source.is_file():
            if not table.optional:
                message = f"{source} is not there: a gate needs what the step '{table.step}' leaves"
                raise EnvironmentFault(message, fix=f"regraft run {artifacts.name}")
            continue
        if table.keep is None:
            files.write_bytes(target, source.read_bytes())
        elif not table.keep(source, target):
            continue
        table.load(target)  # what cannot be read is decided on by nobody
        hashes[table.file] = files.sha256_file(target)
    return hashes


def read(evidence: Path, hashes: Mapping[str, str], known: Mapping[str, Table[Any]]) -> dict[str, Any]:
    """Key of a table -> what it holds. EnvironmentFault where a file is not the one that was kept, or no gate here reads it.

    :param known: every table there is, by its file.
    """
    if unknown := sorted(set(hashes) - set(known)):
        message = f"{evidence / unknown[0]} is of a gate that reads other files now, or none"
        raise EnvironmentFault(message, fix="install the package that brought it, in the version of that time")
    return {known[name].key: known[name].load(unchanged(evidence / name, sha)) for name, sha in sorted(hashes.items())}


def hashes(decision: Mapping[str, Any]) -> dict[str, str]:
    """``{file: sha256}`` of the tables that a decision of any schema was taken on."""
    if "evidence" in decision:
        return dict(decision["evidence"])
    single = {name: decision[key] for key, name in OF_SCHEMA_2.items() if decision.get(key)}
    return {**single, **decision.get("doubts", {}), **decision.get("served", {})}
