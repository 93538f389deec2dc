"""What the environment says about processes that train together; without torch, so that help is shown at once."""

import os


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def launched() -> bool:
    """Whether `torchrun` or `accelerate launch` started this process for something that one alone does not do."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no"
    return several or mixed or int(os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")) > 1
