"""What the doctor does to a module, an experiment a file.

`call` and `changes` say what goes in and how it is changed, `patient` runs the module and leaves it `as_found`,
`tensors` names what comes out, `influence` says what moved, `timeline` and `reading` which axis is time, `altering`
changes what a layer returns, `clock` keeps the time limit. `operations` notes what a model's code does to tensors and
on which line, `culprit` finds the operation to blame, and `causes` says what it did. On these stand the experiments:
`samples` (with its `trial`, the `evidence`, and the `mixers` it names), `position`, `randomness`, `causality`, `ends`,
`padding`, `readings`, `memory`, `registered`, `learning`, `detached`, `units`, `reach` and `finite`.
"""
