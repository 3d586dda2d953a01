"""The worlds agents act in, and the protocol they share."""
