"""What the engines see of a model, whichever backend traced it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from keras_curvature.engines.activity import Activity
from keras_curvature.engines.layout import Layout
from keras_curvature.typing import Tensor


class TracedFunction(Protocol):
    """A model as a function of one vector for each example, `z` of shape `(n, width)`.

    Attributes:
        inputs: how the arrays lie in `z`.
        outputs: how the arrays lie in the result.
        dtype: of `z` and of the result; narrower floats inside become this one.
        native: the widest float dtype among the model's own inputs and outputs.
        activity: what is known of the model before it is differentiated.
        batch: how many examples it takes at a time, if not any number.
    """

    @property
    def inputs(self) -> Layout: ...  # noqa: D102

    @property
    def outputs(self) -> Layout: ...  # noqa: D102

    @property
    def dtype(self) -> Any: ...  # noqa: D102

    @property
    def native(self) -> Any: ...  # noqa: D102

    @property
    def activity(self) -> Activity: ...  # noqa: D102

    @property
    def batch(self) -> int | None: ...  # noqa: D102

    @property
    def is_held(self) -> bool:
        """Whether the outputs depend on more than `z`: on other inputs or columns."""

    @property
    def draws(self) -> bool:
        """Whether an output needs random numbers."""

    @property
    def identity(self) -> Hashable:
        """Equal for two functions that compute the same from the same variables."""

    def __call__(self, z: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """The outputs side by side, `(n, outputs)`."""

    def apart(self, z: Tensor, rest: Sequence[Tensor]) -> list[Tensor]:
        """The outputs one by one."""

    def point(self, leaves: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The `z` and the other inputs `rest` of a batch of the model's inputs."""

    def rows_at_once(self, vectors: int = 2) -> int:
        """How many rows fit into memory that carry so many points or directions each."""

    def rows_forward(self) -> int:
        """How many rows with a direction each fit if they go through once, forward."""
