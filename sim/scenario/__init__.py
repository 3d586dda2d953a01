"""Scenario files: the records they become, reading them, and the topology they state."""
