"""What people read: the page about a run, the card of a model, explain, compare, run diff, history, overview.

The page says what was decided, in words first, then every number it rests on.

:mod:`~regraft.reports.evidence` reads what a run left in MLflow (and keeps, when a run is published, the few things a
page needs beside), :mod:`~regraft.reports.document` turns it into one plain document, :mod:`~regraft.reports.page` into
one HTML file. The document is what ``regraft report --json`` prints; the page shows nothing that is not in it.
"""
