"""What people watch in a terminal."""
