"""What models answer and what that is worth: predictions (made once per model and rows), calibration, slices, label issues, probes, stats/.

Importing this package or :mod:`regraft.evaluation.predictions` loads no torch; what runs a model imports it when it runs.
"""
