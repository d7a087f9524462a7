"""Predictions, and what gates ask to have measured."""

from __future__ import annotations

from regraft.evaluation import predictions as predictions
from regraft.evaluation import temperature as temperature
from regraft.evaluation import variants as variants
from regraft.evaluation.label_issues import Baseline as Baseline
from regraft.evaluation.label_issues import find_suspects as find_label_issues
from regraft.evaluation.probe_labels import require_labels as require_labels
from regraft.evaluation.probing import ask as ask_variants
from regraft.evaluation.probing import write as write_probes
from regraft.evaluation.scoring import HeldOut as HeldOut
from regraft.evaluation.scoring import score_folder as score_folder
from regraft.evaluation.slice_discovery import discover as discover_slices
from regraft.evaluation.stats.metrics import scores as scores
from regraft.evaluation.stats.paired import align as align
from regraft.gates.earlier_tasks import right as right
from regraft.gates.evidence import earlier_tasks as earlier_tasks_evidence
from regraft.gates.evidence import probes as probes_evidence
from regraft.gates.evidence import row_quality as row_quality_evidence
from regraft.gates.evidence import seeds as seeds_evidence
from regraft.models.tfidf import Tfidf as Tfidf

__all__ = [
    "ask_variants",
    "discover_slices",
    "earlier_tasks_evidence",
    "find_label_issues",
    "probes_evidence",
    "row_quality_evidence",
    "seeds_evidence",
    "write_probes",
]
