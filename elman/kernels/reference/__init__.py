"""The definition: each cell in the lines of its equation, one loop over time, and its derivative by hand."""
