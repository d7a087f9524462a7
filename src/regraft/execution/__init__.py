"""How a step comes to run: DVC's file, the plan, processes and their lifelines, records."""
