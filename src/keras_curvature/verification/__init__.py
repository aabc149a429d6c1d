"""Whether this library's derivatives of a model are those of its values."""

from keras_curvature.verification.verifying import examine, verify

__all__ = ["examine", "verify"]
