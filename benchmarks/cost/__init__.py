"""What using this library costs: time, memory, log."""
