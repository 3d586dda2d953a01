"""What an agent is made of: its loop, its channels, its host process."""
