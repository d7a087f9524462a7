"""What every room stands on: errors, files, locks, paths, progress. It knows nothing of models, gates or runs."""
