"""What comes in: reading, the data contract, quarantine, deduplication and the split. Nothing here knows a step."""
