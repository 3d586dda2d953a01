"""Traffic of SUMO, an optional world (extra `sumo`)."""
