"""Vehicles in single file: the laws of following, a string of them, and what it does."""
