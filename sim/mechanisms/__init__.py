"""Pure clearing rules, one file each."""
