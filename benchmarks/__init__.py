"""What this library costs, measured beside others that do the same work."""
