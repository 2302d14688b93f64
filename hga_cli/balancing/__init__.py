"""Balancers: how the losses of several tasks become one gradient."""
