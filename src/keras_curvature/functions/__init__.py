"""The public functions: derivatives, kinks, smooth twins."""
