"""How a step comes to run: DVC's file, the plan, processes and their lifelines, records.

Importing this package imports nothing: a step's client has to be light.
"""
