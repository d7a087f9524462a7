"""Predictions under further seeds as evidence: where they lie, kept beside a decision, read again years later.

The step ``seeds`` leaves ``<model>.<number>.parquet`` for adapted and base and the numbers 2, 3 ... k, and
``digests.json``. The evidence of a decision holds the same files in its folder ``seeds/``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation import predictions
from regraft.evaluation.stats.paired import Predictions
from regraft.gates.evidence import unchanged
from regraft.gates.options import GateOptions, seeds_of

FOLDER = "seeds"
Hashes = Mapping[str, Sequence[str]]
"""model -> sha256 of its file for each of the numbers 2, 3 ... k."""


def file_name(model: str, number: int) -> str:
    return f"{model}.{number}.parquet"


def keep(artifacts: Path, evidence: Path, gates: Sequence[GateOptions], rows: str) -> Hashes | None:
    """Copy what the step ``seeds`` left into the evidence, if a gate asks for seeds; the hashes of the files, None where none asks.

    ``rows``: digest of the test rows that are decided on. EnvironmentFault when the predictions are not there, are
    fewer than asked for, or about other rows.
    """
    shutil.rmtree(evidence / FOLDER, ignore_errors=True)
    count = seeds_of(gates)
    if count is None:
        return None
    digests_file = (out := _out(artifacts)) / "digests.json"
    if not digests_file.is_file():
        message = f"a gate asks for {count} seeds and {out} holds no predictions"
        raise EnvironmentFault(message, fix=f"regraft run {artifacts.name}")
    if (digests := files.read_json(digests_file)) != {"rows": rows, "seeds": count}:
        actual = f"{digests['seeds']} seeds and rows {digests['rows'][:12]}"
        raise EnvironmentFault(f"{digests_file} is about {actual}, not {count} and {rows[:12]}")
    hashes: dict[str, list[str]] = {model: [] for model in _models(out)}
    for model in hashes:
        for number in range(2, count + 1):
            target = evidence / FOLDER / file_name(model, number)
            files.write_bytes(target, (out / target.name).read_bytes())
            hashes[model].append(files.sha256_file(target))
    return hashes


def of_step(artifacts: Path, gates: Sequence[GateOptions]) -> dict[str, tuple[Predictions, ...]] | None:
    """The predictions as the step ``seeds`` left them; None where no gate asks for seeds."""
    count = seeds_of(gates)
    if count is None:
        return None
    numbers = range(2, count + 1)
    return {
        model: tuple(predictions.read(_out(artifacts) / file_name(model, n)).for_gates() for n in numbers)
        for model in _models(_out(artifacts))
    }


def read(evidence: Path, hashes: Hashes | None) -> dict[str, tuple[Predictions, ...]] | None:
    """What :func:`keep` copied; None: nothing. EnvironmentFault when a file is missing or is not the one that was decided on."""
    if hashes is None:
        return None
    by_model: dict[str, tuple[Predictions, ...]] = {}
    for model, listed in hashes.items():
        paths = [evidence / FOLDER / file_name(model, number) for number in range(2, len(listed) + 2)]
        by_model[model] = tuple(predictions.read(unchanged(path, sha)).for_gates() for path, sha in zip(paths, listed, strict=True))
    return by_model


def _models(out: Path) -> list[str]:
    """The models that were repeated."""
    return sorted({path.name.partition(".")[0] for path in out.glob("*.parquet")})


def _out(artifacts: Path) -> Path:
    return artifacts / "seeds" / "out"
