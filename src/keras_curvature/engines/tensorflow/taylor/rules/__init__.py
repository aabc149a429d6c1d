"""How the ops of TensorFlow hand derivatives on, type by type."""
