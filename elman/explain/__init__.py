"""The layer explains itself: every number of a run as text, figures and a page, and the search for silent mistakes."""
