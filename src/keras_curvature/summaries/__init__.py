"""What goes onto TensorBoard."""
