"""Vectors of texts under a frozen encoder, computed once: the store that linear probes read, and whoever needs vectors after them.

``<root>/<encoder>/`` has one folder for each encoder as it is read: its files' digest, the pooling and the kind of machine. In it
lie segments, ``<name>.f32``: n (8 bytes), n sha256 of token ids (32 bytes each), n vectors; numbers are little-endian, vectors
float32. A row is known by its token ids, so the same text under another tokenizer or another limit of length is another row. A
segment appears whole and never changes; any number of processes may add some. Losing one costs time alone: a vector is a function of
its row (:func:`regraft.models.kinds.embedding_head.vectors`), so the folder may be deleted at any moment.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.core import files
from regraft.core.errors import Interrupted
from regraft.core.progress import STOP, current, progress
from regraft.models import base_model, encoder, tokenizer
from regraft.models.families import family
from regraft.models.kinds import embedding_head
from regraft.models.machine import Machine

ARITHMETIC = 2
"""Raised when the vectors of a row may be others, by the last digit: torch's own attention, in batches of 8, is the second."""
SEGMENT = 1_024
"""Rows between two segments: 10 s of MiniLM on two cores, which is what a kill may cost."""
SHA = 32
Floats = NDArray[np.float32]
Ids = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Encoder:
    """The encoder of a model folder, of which nothing is read before a vector is missing."""

    folder: Path
    pooling: str
    """``mean`` or ``cls``."""

    @cached_property
    def key(self) -> str:
        """What the vectors depend on besides the row. Threads change no bit of them, as they do of gradients."""
        machine = {name: value for name, value in asdict(Machine.here()).items() if name in ("device", "capability", "torch")}
        return files.sha256_text(files.canonical([base_model.digest(self.folder), self.pooling, machine, ARITHMETIC]))

    @cached_property
    def body(self) -> Any:
        """The encoder on this machine, without any head, in fp32."""
        machine = Machine.here()
        machine.apply()
        model, _ = encoder.load_pretrained(self.folder)
        return embedding_head.swift(family(model).body(model)).eval().to(machine.device)

    def vectors(self, ids: Ids) -> Floats:
        """``[rows, width]`` of these rows."""
        pad = tokenizer.load(self.folder).pad_token_id or 0
        return embedding_head.vectors(self.body, [row.tolist() for row in ids], pad, self.pooling)


@dataclass(frozen=True)
class EmbeddingStore:
    """Vectors below ``root``; None: nothing is kept."""

    root: Path | None

    def vectors(self, source: Encoder, ids: Ids) -> tuple[Floats, int]:
        """``[rows, width]`` of the rows with these token ids, and how many had to be computed.

        :raises Interrupted: STOP was set; what was computed is kept.
        """
        if self.root is not None and (folder := self.root / source.key).is_dir():
            os.utime(folder)  # `regraft gc` asks when it was last read
        names = [hashlib.sha256(row.astype("<i8").tobytes()).digest() for row in ids]
        known = dict(self._stored(source))
        missing = list({name: place for place, name in enumerate(names) if name not in known}.values())
        missing.sort(key=lambda place: -len(ids[place]))  # full batches of one length; the longest first, so that what is left is shorter
        for start in range(0, len(missing), SEGMENT):
            places = missing[start : start + SEGMENT]
            computed = source.vectors([ids[place] for place in places])
            self._keep(source, [names[place] for place in places], computed)
            known.update(zip([names[place] for place in places], computed, strict=True))
            progress(start + len(places), len(missing), "texts")
            if STOP.is_set():
                raise Interrupted(
                    f"stopped after {start + len(places):,} of {len(missing):,} texts, whose vectors are kept",
                    fix=f"regraft run {current().pipeline or 'PIPELINE'}",
                )
        return np.stack([known[name] for name in names]), len(missing)

    def _stored(self, source: Encoder) -> Iterator[tuple[bytes, Floats]]:
        for path in sorted((self.root / source.key).glob("*.f32")) if self.root else ():
            data = path.read_bytes()
            rows = int.from_bytes(data[:8], "little")
            names, values = data[8 : 8 + SHA * rows], np.frombuffer(data, dtype="<f4", offset=8 + SHA * rows).reshape(rows, -1)
            yield from ((names[SHA * row : SHA * (row + 1)], values[row]) for row in range(rows))

    def _keep(self, source: Encoder, names: Sequence[bytes], computed: Floats) -> None:
        if self.root is not None:
            data = len(names).to_bytes(8, "little") + b"".join(names) + computed.astype("<f4").tobytes()
            files.write_bytes(self.root / source.key / f"{hashlib.sha256(data).hexdigest()[:16]}.f32", data)
