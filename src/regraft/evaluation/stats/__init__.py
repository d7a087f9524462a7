"""Statistics of paired answers: pure functions on numpy arrays. No IO, no clock."""
