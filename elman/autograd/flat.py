"""A record of tensors as tensors in a row, and back: what torch.func and vmap want to see."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree


class Flat:
    """The form of a record (of records, tuples) that holds tensors, numbers, names and None. It keeps no tensor."""

    def __init__(self, record: Any) -> None:
        leaves, self._tree = _pytree.tree_flatten(record)
        self._places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self._constants = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def of(self, tensors: Sequence[Any]) -> Any:
        """A record of this form, with these in the places of its tensors, as many."""
        leaves = list(self._constants)
        for i, tensor in zip(self._places, tensors, strict=True):
            leaves[i] = tensor
        return _pytree.tree_unflatten(leaves, self._tree)

    def at(self, record: Any) -> list[Any]:
        """What stands in the places of the tensors in a record of this form."""
        leaves = self._tree.flatten_up_to(record)
        return [leaves[i] for i in self._places]
