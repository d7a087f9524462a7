"""How steps are executed. Importing this package imports nothing: a step's client has to be light."""
