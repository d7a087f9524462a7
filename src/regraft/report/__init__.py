"""The page about a run: what was decided, in words first, then every number it rests on.

:mod:`~regraft.report.evidence` reads what a run left in MLflow (and keeps, when a run is published, the few things a
page needs beside), :mod:`~regraft.report.document` turns it into one plain document, :mod:`~regraft.report.page` into
one HTML file. The document is what ``regraft report --json`` prints; the page shows nothing that is not in it.
"""
