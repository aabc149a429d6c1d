"""Proofs and refutations of claims about a model over a whole box of inputs."""
