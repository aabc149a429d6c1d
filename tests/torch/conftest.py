"""These tests run in a process of their own, on Keras's PyTorch backend: see `make test`."""

import os

ON_TORCH = os.environ.get("TEST_BACKEND") == "torch"
collect_ignore_glob = [] if ON_TORCH else ["test_*.py"]
