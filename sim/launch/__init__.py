"""Where host processes run."""
