"""What is measured of a model at a probe, and how."""
