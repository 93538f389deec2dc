"""What the doctor does to a module, an experiment a file.

`call`, `changes` and `tensors` say what goes in and comes out, `patient` runs the module as it was found, `influence`
says what moved. On these stand the experiments: `samples` (with `mixers`, which names who mixes them), `order`,
`padding`, `readings`, `memory`, `reach`, `learning`, `units` and `finite`.
"""
