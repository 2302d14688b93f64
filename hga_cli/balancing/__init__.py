"""Balancers: how the losses of several tasks become one gradient. The protocol is in ``balancer``.

A rival is one class and one line in the table of the catalog. ``weighted`` holds what those share that weigh losses
(one backward pass), ``per_task`` what those share that merge gradients (one backward pass for each task).
"""
