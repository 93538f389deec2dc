"""What all tasks share: settings are in `settings`; here are the loop, checkpoints, runs and pictures."""
