"""The core of Taylor propagation: second-order series, and what a rule for an op is."""
