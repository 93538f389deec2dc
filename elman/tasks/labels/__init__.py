"""Which label a sequence has."""
