"""Junctions of roads, and who may enter them."""
