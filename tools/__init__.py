"""Programs for those who work on elman."""
