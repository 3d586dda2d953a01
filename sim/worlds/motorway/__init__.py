"""A motorway: several lanes, an on-ramp, accidents, and an emergency vehicle in a hurry."""
