"""Derivatives of TensorFlow graphs: tracing, interpreting, and two exact engines."""
