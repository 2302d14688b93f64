"""Volumes: read, write, geometry, crop, resample, normalise - and the way back."""
