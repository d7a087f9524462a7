"""Rows and documents: read, validated, split, packed."""

from __future__ import annotations

from regraft.data import contract_page as contract_page
from regraft.data import labelled as labelled
from regraft.data import quarantine as quarantine
from regraft.data.columns import other_columns as other_columns
from regraft.data.contamination import Finder as Finder
from regraft.data.contamination import read_trained_on as read_trained_on
from regraft.data.contamination import worst as worst
from regraft.data.documents import read_corpus as read_corpus
from regraft.data.earlier_tasks import read_task as read_task
from regraft.data.labelled import labelled_splits as labelled_splits
from regraft.data.leakage import leaks as leaks
from regraft.data.leakage import report as report_leaks
from regraft.data.packing import documents as stored_documents
from regraft.data.packing import pack as pack
from regraft.data.reading import read_rows as read_rows
from regraft.data.row_texts import training_texts as training_texts
from regraft.data.side_tasks import read_side_task as read_side_task
from regraft.data.sources import Source as Source
from regraft.data.sources import reject as reject
from regraft.data.spelling import spelled as spelled
from regraft.data.spent import read_spent as read_spent
from regraft.data.splitting import read_given as read_given
from regraft.data.splitting import read_texts as read_texts
from regraft.data.splitting import split_rows as split_rows
from regraft.data.splitting import write_dropped as write_dropped
from regraft.data.tables import write_documents as write_documents
from regraft.data.tables import write_table as write_table
from regraft.data.validation import validate as validate_rows

__all__ = ["report_leaks", "stored_documents", "validate_rows"]
