"""What a gate is: one file with its options, the evidence it declares, its judgement, its words and its section of a page.

Importing a gate's file loads no numpy: `plan` and `schema` read the options of all of them. What computes is imported where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from regraft.gates.options import GateOptions
from regraft.gates.section import Results, Section
from regraft.gates.tables import Table
from regraft.gates.words import Document, number

if TYPE_CHECKING:
    from regraft.gates.comparison import Comparison
    from regraft.gates.verdict import Finding

Asked = TypeVar("Asked", bound=GateOptions)
Json = dict[str, Any]


class Named(Protocol):
    """The files that a line of a pipeline file names, while the file is resolved."""

    labels: Sequence[str] | None
    """Labels that the data contract lists; None: it lists none."""
    pairs: bool
    """Whether a row is two texts."""

    def digest(self, name: str, *key: str, otherwise: str = "") -> str:
        """Digest of the file or folder ``name``, which stands at ``key`` of the line; a fault of that line where it is not there.

        :param otherwise: what to do instead of correcting it.
        """

    def content(self, name: str, model: Any, *key: str) -> Json:
        """The YAML file ``name``, read by the pydantic ``model``, without defaults; a fault of the line or of that file."""

    def default(self, name: str, model: Any) -> Json:
        """A YAML file that comes with regraft, read likewise."""

    def fault(self, name: str, where: Sequence[str | int], message: str, value: Any, rule: str = "label exists") -> None:
        """Tell a fault at ``where`` in the file ``name``; all of them are raised together, after the last gate was read."""


Limit = Literal["above", "at least", "at most"]
FLOOR = "floor"
"""What a table calls the requirement that a score itself has to reach something."""


def _nothing(*_: Any) -> Any:
    return None


@dataclass(frozen=True)
class Gate(Generic[Asked]):
    """One question that a pipeline file may ask of a candidate."""

    options: type[Asked]
    """What a line of ``gates:`` may say; its ``gate`` is the name, and a key of the line."""
    judge: Callable[[Asked, Comparison], Finding]
    """The finding. Pure: no IO, no clock; three-way where it rests on a sample."""
    sentence: Callable[[Document], str]
    """A finding of it in words, from what verdict.json stores."""
    show: Callable[[float], str] = number
    """How its numbers are written."""
    limit: Limit = "at most"
    """On which side of its threshold the whole interval has to lie."""
    requirement: str = ""
    """What it asks of a metric, in a table: :data:`FLOOR`, or words before the model that it compares with. Empty: its name."""
    evidence: tuple[Table[Any], ...] = ()
    """Files of steps that it reads. A step that leaves one of them runs only in pipelines with such a gate."""
    step: str | None = None
    """A step that it needs besides those that leave its evidence."""
    of_encoder: bool = False
    """Whether it measures the candidate's encoder, which a word count or an ensemble does not have."""
    families: frozenset[str] | None = None
    """Families of base models that it can measure; None: all of them."""
    hides_tokens: bool = False
    """Whether it needs a tokenizer with a mask token."""
    against: Callable[[Asked], str | None] = _nothing
    """The model that the candidate is compared with; it may be missing, or be the candidate."""
    columns: Callable[[Asked], Iterable[str]] = lambda _: ()
    """Columns of the labelled rows that it needs of the test rows."""
    column_key: str = ""
    """The key of a line that names :attr:`columns`."""
    measured: Callable[[Comparison], Json] = lambda _: {}
    """Its part of ``measurements.json``, under keys of its own; empty where there is nothing to measure."""
    once: str | None = None
    """Why a pipeline asks it once at most; None: as often as it likes."""
    reads: Callable[[Asked, Named], Any] | None = None
    """What steps have to know of the files that a line names, read when the pipeline file is resolved."""
    check: Callable[[Sequence[Asked], Mapping[str, Any]], str | None] = _nothing
    """A fault of a pipeline file with these lines (none, where it is not asked) and these other keys, in words."""
    change: Callable[[Document], str] | None = None
    """What it would take for a measured finding to come out otherwise; None: the general words for a score or a difference."""
    remedy: str = "another metric"
    """What an open finding without a number asks for."""
    failed: Callable[[Document], str] = lambda _: "it misses a requirement"
    """Why a candidate that fails it must not go to production, to stand after a colon."""
    unsettled: str | None = None
    """Why there is no decision where it alone is open, to stand after a colon; None: there are too few rows."""
    passed: str | None = None
    """What a candidate is that passed it against the champion, to stand after "The new model is"; None: nothing special."""
    undecided: str | None = None
    """What too few rows cannot tell of a candidate against the champion; None: whether it is as good."""
    section: Callable[[Results], Section | None] = _nothing
    """Its section of the page; None: there is nothing to show."""

    @property
    def name(self) -> str:
        return self.options.gate


def asked(gate: Gate[Asked], gates: Iterable[GateOptions]) -> Iterator[Asked]:
    """The lines among ``gates`` that ask ``gate``."""
    return (line for line in gates if isinstance(line, gate.options))
