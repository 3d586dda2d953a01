"""Robots in a plane: how they move and touch, what they see and spend, and what they are there for.

The core (`motion`, `contact`, `near`, `sensing`, `energy`, `maps`, `ground`, `outcome`, `scene`)
knows nothing of a purpose; a task (`task`, and a module for each) adds what is observed, paid and
measured.
"""
