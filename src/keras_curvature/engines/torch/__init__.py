"""Derivatives of PyTorch programs: tracing, interpreting, and two exact engines."""
