"""Models as flat programs of a backend's primitives: what JAX and PyTorch share."""
