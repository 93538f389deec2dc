"""`python -m elman` is the command `elman`; several processes: `torchrun --nproc-per-node 2 -m elman train ...`."""

from elman.cli import main

if __name__ == "__main__":
    main()
