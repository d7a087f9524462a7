"""What keeps a workspace healthy: doctor, gc, template, upgrades, the demo's data."""
