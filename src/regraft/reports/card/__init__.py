"""The model card of a registered version: Markdown with the front matter of the Hugging Face hub, and every number in it checked.

Numbers come from what the run left in MLflow: its verdict and predictions (``evidence/``) and the records of its steps
(``records/``), and from the journal. What only people can say comes from ``card:`` of the pipeline file; it is kept
beside the card as ``card.json``, because no other artifact holds it. A card is a function of these, so it is verified
by making it again: words may be edited by hand, numbers may not.

``README.md`` and ``card.json`` lie beside the model folder of the version and outside what its digest covers.
"""

SCHEMA = 2
"""Schema of card.json and of the card that :mod:`regraft.reports.card.render` makes of it.

Cards of schema 1 (up to 0.2) list what had to be proven by the names of gates; they are made, and so verified, as they were."""
CARD, SAID = "README.md", "card.json"
