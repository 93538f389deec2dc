"""The cells' arithmetic: one file a cell. room.py says what the loops over time are told of one."""
