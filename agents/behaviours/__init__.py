"""Rule-based policies and programs, one role each."""
