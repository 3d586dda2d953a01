"""What the broker runs: kernel, network, books, faults."""
