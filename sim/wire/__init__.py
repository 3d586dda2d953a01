"""What travels between processes: typed records, their codec, and the transports."""
