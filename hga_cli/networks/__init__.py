"""Backbones. Each encodes the modalities that are there, once, and fuses any set of them, as often as needed."""
