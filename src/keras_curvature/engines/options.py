"""What every public function takes besides the model and its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.columns import checked_columns
from keras_curvature.engines.wrt import checked_wrt
from keras_curvature.typing import Columns, Output, Wrt

ENGINE_NAMES = ("taylor", "nested", "finite_difference")
"""What `engine=` may be besides `"auto"`."""


@dataclass(frozen=True)
class Options:
    """What every public function takes besides the model and `x`."""

    output: Output = None
    wrt: Wrt = None
    engine: str = "auto"
    dtype: str | None = None
    batch_size: int | None = None
    columns: Columns = None

    def __post_init__(self) -> None:
        """Checks what can be checked without a model."""
        object.__setattr__(self, "wrt", checked_wrt(self.wrt))
        object.__setattr__(self, "columns", checked_columns(self.columns))
        if self.engine not in ("auto", *ENGINE_NAMES):
            raise ValueError(
                f"`engine` must be 'auto' or one of {sorted(ENGINE_NAMES)}. Received: "
                f"{self.engine!r}."
            )
        if self.dtype not in (None, "float32", "float64"):
            raise ValueError(
                "`dtype` must be None, 'float32' or 'float64': the narrowest dtype to "
                f"evaluate in. Received: {self.dtype!r}."
            )
        size = self.batch_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise TypeError(f"`batch_size` must be None or an int. Received: {size!r}.")
        if size is not None and size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {size}.")

    @property
    def narrowest(self) -> Any:
        """The narrowest float dtype of the results."""
        return xp.dtype_of(self.dtype or "float32")
