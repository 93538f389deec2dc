"""What the doctor does to a module, an experiment a file.

`call` and `changes` say what goes in and how it is changed, `patient` runs the module and leaves it `as_found`,
`tensors` names what comes out, `influence` says what moved, `timeline` and `reading` which axis is time, `altering`
changes what a layer returns. On these stand the experiments: `samples` (with its `trial`, the `evidence`, and the
`mixers` it names), `causality`, `padding`, `readings`, `memory`, `learning`, `units`, `reach` and `finite`.
"""
