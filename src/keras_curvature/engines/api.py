"""What the other packages use of the engines: a model bound to a batch, and what it is asked."""

from __future__ import annotations

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import Activity, Dependence, NotDifferentiableError, Place
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.batch_coupling import TOLERANCE, influence, randomness
from keras_curvature.engines.bound_model import BoundModel, Evaluator, bind, forget
from keras_curvature.engines.chunking import WHOLE
from keras_curvature.engines.columns import by_index, checked_columns
from keras_curvature.engines.computed_steps import Computed, ComputedStep
from keras_curvature.engines.data_frames import NUMBERS, columns_of, names_of_columns
from keras_curvature.engines.directions import as_direction, warn_of_more_than_exact
from keras_curvature.engines.dispatch import ENGINES, EngineChoice, needs_float64
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.evaluation import (
    differentiate,
    engine_choice,
    estimate_laplacian,
    flat_derivatives,
    run_chunked,
)
from keras_curvature.engines.finite_difference import RELATIVE_STEP
from keras_curvature.engines.flattening import layer_names
from keras_curvature.engines.inputs import (
    by_column,
    is_text,
    matched,
    numbers_in,
)
from keras_curvature.engines.intermediates import Inside, Result, Watched
from keras_curvature.engines.layout import (
    Layout,
    keys_in_order,
    side_by_side,
    unflatten,
    unflattened_shapes,
)
from keras_curvature.engines.losses import (
    LOSS,
    WithLoss,
    is_loss,
    labels_are_classes,
    labels_of,
    loss_by_example,
    require_labels,
)
from keras_curvature.engines.masks import mask_of, masked
from keras_curvature.engines.op_types import (
    BENT,
    LINEAR,
    QUADRATIC,
    SMOOTH,
    Curve,
    may_kink,
    traits_of,
)
from keras_curvature.engines.options import Options
from keras_curvature.engines.outputs import OF_A_CLASSIFIER, selector
from keras_curvature.engines.random_estimates import differentiate_in_part
from keras_curvature.engines.reference_output import NotAsTracedError, require_as_traced
from keras_curvature.engines.requests import Asked, requested, resolved
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.weighted_laplacian import weighted_laplacian
from keras_curvature.engines.wrt import checked_wrt

_random_directions = own_module("random_directions")
normal = _random_directions.normal
rademacher = _random_directions.rademacher
sparse_rademacher = _random_directions.sparse_rademacher

__all__ = [
    "BENT",
    "ENGINES",
    "LINEAR",
    "LOSS",
    "NUMBERS",
    "OF_A_CLASSIFIER",
    "QUADRATIC",
    "RELATIVE_STEP",
    "SMOOTH",
    "TOLERANCE",
    "WHOLE",
    "Activity",
    "Asked",
    "BoundModel",
    "Computed",
    "ComputedStep",
    "Curve",
    "Dependence",
    "Engine",
    "EngineChoice",
    "Evaluator",
    "Inside",
    "Layout",
    "NotAsTracedError",
    "NotDifferentiableError",
    "Options",
    "Place",
    "Result",
    "Watched",
    "WithLoss",
    "as_direction",
    "bind",
    "by_column",
    "by_index",
    "checked_columns",
    "checked_wrt",
    "chunking",
    "columns_of",
    "differentiate",
    "differentiate_in_part",
    "engine_choice",
    "estimate_laplacian",
    "flat_derivatives",
    "forget",
    "influence",
    "is_loss",
    "is_text",
    "keys_in_order",
    "labels_are_classes",
    "labels_of",
    "layer_names",
    "loss_by_example",
    "mask_of",
    "masked",
    "matched",
    "may_kink",
    "names_of_columns",
    "needs_float64",
    "normal",
    "numbers_in",
    "rademacher",
    "randomness",
    "registry",
    "requested",
    "require_as_traced",
    "require_labels",
    "resolved",
    "run_chunked",
    "selector",
    "side_by_side",
    "sparse_rademacher",
    "traits_of",
    "unflatten",
    "unflattened_shapes",
    "warn_of_more_than_exact",
    "weighted_laplacian",
    "xp",
]
