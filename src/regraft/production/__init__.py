"""What a decision does to production: the release of a run, and promotion by hand."""
