"""The same work by this library and by its peers, timed in turns."""
