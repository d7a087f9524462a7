"""What comes in: reading, the data contract, quarantine, deduplication, the split and packing. Nothing here knows a step."""
