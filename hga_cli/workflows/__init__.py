"""The stories: one per command, usable from Python. They take settings and return plain results."""
