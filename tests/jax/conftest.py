"""These tests run in a process of their own, on Keras's JAX backend: see `make test`."""

import os

ON_JAX = os.environ.get("TEST_BACKEND") == "jax"
collect_ignore_glob = [] if ON_JAX else ["test_*.py"]
