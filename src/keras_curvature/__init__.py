"""Second derivatives of Keras models with respect to their input."""

from importlib.metadata import version

from keras_curvature.engines import required_backend as _required  # noqa: F401, checked first

# isort: split
from keras_curvature import losses
from keras_curvature.diagnosis import diagnose
from keras_curvature.diagnosis.results import Diagnosis, Finding
from keras_curvature.engines.active_backend import own_module as _own_module
from keras_curvature.engines.dispatch import EngineChoice
from keras_curvature.estimates import Eigenvalues, Estimate, estimate
from keras_curvature.functions.along_directions import (
    directional_curvature,
    hessian_vector_product,
)
from keras_curvature.functions.derivatives import derivatives, hessian, hessian_diagonal, jacobian
from keras_curvature.functions.engine_choice import engine_choice
from keras_curvature.functions.hidden_fraction import hidden_fraction
from keras_curvature.functions.kinks import Kinks, kinks
from keras_curvature.functions.laplacian import laplacian
from keras_curvature.functions.partial_derivative import partial_derivative
from keras_curvature.functions.scale_curvature import scale_curvature
from keras_curvature.functions.smooth import smooth
from keras_curvature.layers import CurvaturePenalty, DerivativeOutput, ShapePenalty
from keras_curvature.monitor.callback import CurvatureMonitor
from keras_curvature.monitor.more_directions import MoreDirections
from keras_curvature.monitor.stop_on_verdict import StopOnVerdict
from keras_curvature.report.data import Report, Verdict
from keras_curvature.summaries.hparams import hparams_metrics
from keras_curvature.summaries.html import to_html
from keras_curvature.verification import verify
from keras_curvature.verification.results import Check, Verification, WrongDerivativeError

__version__ = version("keras-curvature")

taylor = _own_module("taylor")

__all__ = [
    "Check",
    "CurvatureMonitor",
    "CurvaturePenalty",
    "DerivativeOutput",
    "Diagnosis",
    "Eigenvalues",
    "EngineChoice",
    "Estimate",
    "Finding",
    "Kinks",
    "MoreDirections",
    "Report",
    "ShapePenalty",
    "StopOnVerdict",
    "Verdict",
    "Verification",
    "WrongDerivativeError",
    "derivatives",
    "diagnose",
    "directional_curvature",
    "engine_choice",
    "estimate",
    "hessian",
    "hessian_diagonal",
    "hessian_vector_product",
    "hidden_fraction",
    "hparams_metrics",
    "jacobian",
    "kinks",
    "laplacian",
    "losses",
    "partial_derivative",
    "scale_curvature",
    "smooth",
    "taylor",
    "to_html",
    "verify",
]
