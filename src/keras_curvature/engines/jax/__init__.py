"""Derivatives of JAX programs: tracing, interpreting, and two exact engines."""
