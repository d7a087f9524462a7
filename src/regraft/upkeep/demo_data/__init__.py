"""The demo's text: what installed libraries say about themselves, and the sha256 it should have."""
