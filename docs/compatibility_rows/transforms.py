"""torch.func, and per-sample gradients."""

import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads

from compatibility_rows.common import Layer, X, loss_of, row, same, states, weights_of


@row("torch.func", "jvp, jacrev, jacfwd, hessian, is_grads_batched")
def _(cls: Layer) -> None:
    layer = cls(3, 4)
    f = lambda x: sum(state.sin().sum() for state in states(layer(x)[1]))  # noqa: E731
    jvp(f, (X,), (X,))
    same(jacrev(f)(X), jacfwd(f)(X))
    hessian(f)(X[:2, :1])
    x = X.clone().requires_grad_()
    y = states(layer(x)[1])[0].flatten()
    torch.autograd.grad(y, x, torch.eye(y.numel()), is_grads_batched=True)


@row("torch.func", "vmap over inputs")
def _(cls: Layer) -> None:
    layer, xs = cls(3, 8), torch.stack([X, X.sin()])
    same(vmap(layer)(xs)[0], torch.stack([layer(x)[0] for x in xs]))


@row("torch.func", "vmap over the first states")
def _(cls: Layer) -> None:
    layer, h = cls(3, 8), torch.randn(2, 1, 4, 8)
    of = lambda h: (h, h.cos()) if cls.__name__ == "LSTM" else h  # noqa: E731
    same(vmap(lambda h: layer(X, of(h))[0])(h), torch.stack([layer(X, of(each))[0] for each in h]))


@row("torch.func", "vmap over stacked models")
def _(cls: Layer) -> None:
    models = [cls(3, 8) for _ in range(3)]
    weights, _ = stack_module_state(models)
    found = vmap(lambda w: functional_call(models[0], w, (X,))[0])(weights)
    same(found, torch.stack([model(X)[0] for model in models]))


@row("torch.func", "vmap(grad): per-sample gradients")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    xs, weights = X.transpose(0, 1).contiguous(), weights_of(layer)
    found = vmap(grad(loss_of(layer)), (None, 0))(weights, xs)
    same({n: g[1] for n, g in found.items()}, grad(loss_of(layer))(weights, xs[1]))


@row(
    "torch.func",
    "torch's expanded weights (call_for_per_sample_grads)",
    LeakyRNN="they run torch's layers alone; vmap(grad) does it",
)
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    call_for_per_sample_grads(layer, batch_size=4, batch_first=False)(X)[0].sum().backward()
    assert layer.weight_hh_l0.grad_sample.shape == (4, *layer.weight_hh_l0.shape)


@row("torch.func", "Opacus, on a subclass that returns one tensor")
def _(cls: Layer) -> None:
    from opacus import GradSampleModule

    class Encoder(cls):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[0]

    layer = Encoder(3, 8, batch_first=True)
    GradSampleModule(layer)(X.transpose(0, 1)).sum().backward()
    assert layer.weight_hh_l0.grad_sample.shape == (4, *layer.weight_hh_l0.shape)
