"""The module under examination: run again and again, each time from the state it was found in."""

import contextlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.explain._language import say
from elman.explain.experiments.as_found import Snapshot, generators_left_alone, seed_generators
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import Changes
from elman.explain.experiments.clock import Clock
from elman.explain.experiments.hooks import Setting, both, hooked
from elman.explain.experiments.not_checked import Refused
from elman.explain.experiments.operations import Operation, Operations
from elman.explain.experiments.tensors import tensors_in
from elman.nn.leak import Leaking

Results = dict[str, Tensor]

_BARE = {"output[0]": "output", "output[1]": "h_n", "output[1][0]": "h_n", "output[1][1]": "c_n"}


class Located(Protocol):
    """What stands in the forward of a module, if that can be told."""

    @property
    def owner(self) -> nn.Module | None:
        """The module."""


@dataclass(frozen=True)
class Record:
    """One call of a module inside: what went in and what came out."""

    name: str
    module: nn.Module
    inputs: Results
    outputs: Results
    given: frozenset[str]  # the keyword arguments
    packed: bool
    lengths: Tensor | None  # (N,), where the call was told them, by packing or by name

    @property
    def first(self) -> Tensor:
        """Its first tensor argument."""
        return next(iter(self.inputs.values()))


class Patient:
    """A model and the call it is examined with.

    Args:
        model: the module.
        call: the user's call.
        clock: is asked for leave before each run.
    """

    def __init__(self, model: nn.Module, call: Call, clock: Clock) -> None:
        self.model, self.call, self.clock = model, call, clock
        self.given = call  # with all its samples
        self.changes = Changes(model)
        self.names = {module: name for name, module in model.named_modules()}
        self.recurrent = [m for m in self.names if isinstance(m, nn.RNNBase)]
        self.noise = {m: m.noise for m in self.names if isinstance(m, Leaking)}
        self.norms = [m for m in self.names if isinstance(m, _BatchNorm)]
        self.explained: set[str] = set()  # parameters whose lack of a gradient another finding explains
        self.known: set[str] = set()  # the codes found so far, which explain much of what comes after
        self._found = Snapshot(model)
        self._operated = False
        self.trial: object = None  # of the samples, kept here for the experiments that share it

    @contextlib.contextmanager
    def left_as_found(self) -> Iterator[None]:
        """After the block, whatever happened in it, the model and the generators are as they were before."""
        try:
            with generators_left_alone(), torch.inference_mode(False), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the model's own, once a run; they are said where it is used
                yield
        finally:
            self._found.restore()

    def run(
        self,
        call: Call | None = None,
        *,
        during: Setting | None = None,
        grad: bool = False,
        fresh: bool = True,
        training: bool = False,
        statistics: bool = False,
        seed: int = 0,
        given: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
    ) -> Results:
        """What the model returns, by name, with dropout and the noise of leaky layers off and batch norm on its
        running statistics.

        Args:
            call: another call than the user's.
            during: a context that holds while the model runs, hooks for instance.
            grad: whether autograd records.
            fresh: whether the model starts from what it held when it was found.
            training: whether it runs in training mode, dropout and all.
            statistics: whether batch norms take the batch's own mean and variance, as in training.
            seed: of the random numbers that the model draws.
            given: the arguments themselves, where they are looked at afterwards; else copies of the call's.

        Raises:
            NotChecked: the time is up.
            Refused: the model raised.
            TypeError: it returned no tensor.
        """
        self.clock.check()
        if fresh:
            self.restart(training)
        seed_generators(seed)
        self._found.rewind()
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(grad))
            if statistics:
                for norm in self.norms:
                    norm.train()
            elif not training:
                stack.enter_context(hooked(self._without_statistics(), _pass_on))
            if "torch._dynamo" in sys.modules:  # compiled code would not see the hooks
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            if during is not None:
                stack.enter_context(during)
            try:
                args, kwargs = given or (call or self.call).arguments()
                returned = self.model(*args, **kwargs)
                results = tensors_in(returned, samples=(call or self.call).samples)  # a packed sequence may be none
            except Exception as error:
                raise Refused(error) from error
        if not results:
            raise TypeError(
                f"elman.doctor found no tensor in what {type(self.model).__name__} returned: a "
                f"{type(returned).__name__}. Wrap it in a module that returns a tensor, or a tuple, dict or dataclass "
                f"of tensors."
            )
        if isinstance(self.model, nn.RNNBase):
            results = {_BARE.get(name, name): value for name, value in results.items()}
        return results if grad else _copies(results)

    @property
    def hindered(self) -> str:
        """What was found that makes a sample differ from itself elsewhere in the batch, or alone; "" for nothing."""
        if self.known & {"random-in-evaluation", "made-in-forward"}:
            return say("the model draws random numbers", "모델이 난수를 씁니다")
        if self.known & {"state-carried", "state-by-design"}:
            return say("the model holds a state of each sample", "모델이 샘플마다 상태를 지니고 있습니다")
        if self.known & {"batch-mixed", "batch-lost", "batch-order", "h_n-as-batch"}:
            return say("the samples are not apart", "샘플들이 서로 섞여 있습니다")
        if self.known & {"lengths-mismatched"}:
            return say("the lengths are those of other samples", "길이가 다른 샘플의 것입니다")
        return ""

    @contextlib.contextmanager
    def looking_at(self, call: Call) -> Iterator[None]:
        """Within the block another argument's samples and steps are those that count."""
        own, self.call = self.call, call
        try:
            yield
        finally:
            self.call = own

    def attempt(self, call: Call, **options: Any) -> Results | None:
        """A run that the model may refuse: None where it raises. Only for calls that nobody asked it to take."""
        try:
            return self.run(call, **options)
        except Refused:
            return None

    def restart(self, training: bool = False) -> None:
        """Brings the model back to the state it was found in, in eval mode, and without the noise of leaky layers."""
        self._found.restore()
        self.model.train(training)
        for leaky in self.noise:
            leaky.noise = 0.0
        copies: dict[int, Tensor] = {}  # buffers are written into, and an older loss may still need what they hold
        for module in self.names:
            for name, buffer in module._buffers.items():
                if buffer is not None and not isinstance(module, torch.jit.ScriptModule):
                    module._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())

    def record(self, call: Call | None = None, during: Setting | None = None) -> list[Record]:
        """Every call of a module inside, in the order in which they end."""
        records: list[Record] = []

        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            inputs = tensors_in((*args, *kwargs.values()), "input")
            packed = [given for given in (*args, *kwargs.values()) if isinstance(given, PackedSequence)]
            lengths = kwargs.get("lengths")
            if packed:
                lengths = pad_packed_sequence(packed[0])[1]
            records.append(
                Record(
                    self.names[module],
                    module,
                    _copies(inputs),
                    _copies(tensors_in(output)),
                    frozenset(kwargs),
                    bool(packed),
                    None if lengths is None else torch.as_tensor(lengths, device="cpu"),
                )
            )

        self.run(call, during=both(during, hooked(list(self.names), note, with_kwargs=True)))
        return records

    def operations(self, call: Call | None = None, seed: int = 0, during: Setting | None = None) -> list[Operation]:
        """Every operation on tensors, in the order in which they are made."""
        return self.watch(call, seed, during).noted

    def watch(
        self,
        call: Call | None = None,
        seed: int = 0,
        during: Setting | None = None,
        training: bool = False,
        grad: bool = False,
    ) -> Operations:
        """The same, with what Python looked at and what the model returned."""
        if not self._operated:  # what is imported or prepared at first is no operation of the model's
            self._operated = True
            self.operations()
        operations = Operations()
        layers: list[nn.Module] = [one for one in self.names if isinstance(one, nn.RNNBase | nn.RNNCellBase)]
        entering = hooked(layers, operations.enter, before=True, with_kwargs=True)
        leaving = hooked(layers, operations.leave, with_kwargs=True)
        hooks = both(both(entering, leaving), operations)
        operations.results = self.run(call, during=both(during, hooks), seed=seed, training=training, grad=grad)
        return operations

    def altered(
        self, module: nn.Module, alter: Callable[[Any], Any], call: Call | None = None, turn: int | None = None
    ) -> Results:
        """What the model returns when what a module inside returns (at its n-th turn, from 0) is altered on its way."""
        turns = itertools.count()

        def replace(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            return alter(output) if next(turns) == turn or turn is None else None

        return self.run(call, during=hooked([module], replace))

    def label(self, module: nn.Module) -> str:
        """How the text names a module inside: 'encoder.rnn' (GRU)."""
        kind, name = type(module).__name__, self.names[module]
        return f"'{name}' ({kind})" if name else say(f"the model ({kind})", f"모델({kind})")

    def where(self, code: Located | None) -> str:
        """The name of the module inside whose forward something stands; "" where that cannot be told."""
        return "" if code is None or code.owner is None else self.names.get(code.owner, "")

    def parameters_of(self, module: nn.Module, begin: str | tuple[str, ...] = "") -> list[str]:
        """The names, as the model has them, of a module's parameters, or of those whose own names begin so."""
        own = self.names[module]
        return [f"{own}.{name}".lstrip(".") for name, _ in module.named_parameters() if name.startswith(begin)]

    def _without_statistics(self) -> list[nn.Module]:
        """Batch norms that would mix the samples in eval mode too."""
        return [norm for norm in self.norms if norm.running_mean is None]


def _copies(results: Results) -> Results:
    return {name: value.detach().clone() for name, value in results.items()}


def _pass_on(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    return args[0]
