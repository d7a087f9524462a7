"""One file per step: its config, its wiring to the library, its handle."""
