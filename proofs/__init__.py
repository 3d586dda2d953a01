"""Learners on problems whose answers are known: `python -m proofs`, or `make proofs`."""
