from elman.kernels._old_problem import Problem as Old
from elman.kernels.numba_cpu import launch
from elman.kernels.problem import Run
def _old(p):
    return Old(p.cell.nonlinearity, p.num_layers, p.num_directions, p.bias, p.lengths, p.reset, p.masks, p.batch_sizes)
def forward(p, save):
    o,h,(_,i,d)=launch.rnn_forward(_old(p), p.x, p.states[0] if p.states else None, p.weights)
    return Run(o,(h,),(i,d))
def backward(p, output, saved, d_output, d_last, needs, groups=None):
    n = needs if p.states else (needs[0], False, *needs[1:])
    i, d = saved
    if i is not None and i.dim()!=4 and p.batch_sizes is None: i=None
    if d is not None and p.masks is None: d=None
    f=launch.rnn_backward(_old(p), p.x, p.states[0] if p.states else None, p.weights, (output,i,d), d_output, d_last[0], n, groups)
    return f if p.states else [f[0],*f[2:]]
def saved_shapes(p):
    out=(p.num_layers-1,*p.x.shape[:-1],p.num_directions*p.output_size)
    return (out if p.num_layers>1 else None, out if p.num_layers>1 and p.masks is not None else None)
