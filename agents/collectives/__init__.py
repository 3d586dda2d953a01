"""Collective operations: broadcast, reduce, all-reduce, gather, barrier, gossip, elections."""
