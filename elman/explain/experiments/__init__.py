"""What the doctor does to a module, an experiment a file.

`call` and `changes` say what goes in and how it is changed, `structure` takes containers of arguments apart, `patient`
runs the module and leaves it `as_found`, `tensors` names what comes out, `influence` says what moved, `timeline` and
`reading` which axis is time, `altering` changes what a layer returns, `clock` keeps the time limit. `operations` notes
what a model's code does to tensors and on which line, `walk` goes back from a bad result to the operation to blame,
`culprit` does so for samples, and `causes` says what it did. `parameters` has gradients, and what moves with other
numbers in a parameter's place. On these stand the experiments: `samples` (with its `trial`, the `evidence`, and the
`mixers` and `pairs` it names), `position`, `randomness`, `written`, `causality`, `ends`, `padding` (with `padded`,
which says who takes it in), `losses` (with `misaligned`), `readings`, `past`, `aligned`, `memory`, `registered`,
`learning` (with `zeros`), `detached`, `units`, `reach` and `finite`.
"""
