"""From what was measured to named numbers, a verdict and text."""
