"""Predictions: made once, stored row by row, and never made again for the same model and rows.

Importing this package or :mod:`regraft.evaluation.predictions` loads no torch; what runs a model imports it when it runs.
"""
