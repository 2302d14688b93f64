"""The training loop, one step, the schedule, checkpoints, devices, the sliding window."""
