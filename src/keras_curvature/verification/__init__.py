"""Whether this library's derivatives of a model are those of its values."""

from keras_curvature.verification.verifier import examine, verify

__all__ = ["examine", "verify"]
