"""The pipeline file: what a person writes, and how it is read, checked and filled in."""
