"""What the loops over time are told of a cell: how its numbers lie, and its arithmetic of a step."""

from typing import Any, NamedTuple


class Room(NamedTuple):
    """One cell, for one dtype.

    A step keeps `slots` times H numbers of a sequence, the row z: first the pre-activations, which the products over
    input and state write, then what the cell makes of them. Slot s of unit j stands at z[s * H + j]. In the backward
    pass dz lies the same way.
    """

    slots: int
    of_x: tuple[int, ...]
    """Which gate's rows of W_ih and b_ih (in torch's order) each slot takes, for the first slots."""
    of_h: tuple[int, ...]
    """The same of W_hh and b_hh, for the last slots."""
    in_output: bool
    """Whether the only slot is the row of the output itself, where h comes to stand: then nothing else is kept."""
    has_c: bool
    """Whether a second state c, H wide, is carried, which is not the output."""
    carries: bool
    """Whether H numbers of gradient go back from step to step beside dz: what reaches the state before not by W_hh."""
    step: Any
    """step(p, n, z, h_before, c_before, c, h, leak, kept): of z what backward needs, in kept, and the states c and h,
    for n units. kept may be z. Where in_output, h holds z, which is kept too where kept is not 0. Where h is
    projected, h is what is to be projected. leak is 0 where nothing leaks."""
    step_back: Any
    """step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept): from dh at h, dz at the
    pre-activations and what is carried to the step before. Where in_output, z is h, and dh is where dz is to stand.
    d_leak is where the gradient at the leak is added; 0: none is asked for."""

    @property
    def fresh(self) -> int:
        """The slots after the input's: what the recurrent product adds to there is the bias alone."""
        return self.slots - len(self.of_x)

    @property
    def before_h(self) -> int:
        """The slots before those that W_hh writes."""
        return self.slots - len(self.of_h)
