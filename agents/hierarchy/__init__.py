"""Hierarchies: coordinators over groups, to any depth, with deputies that take over."""
