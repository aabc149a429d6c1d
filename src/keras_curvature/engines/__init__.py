"""How derivatives are computed; knows nothing of callbacks, pictures or statistics."""
