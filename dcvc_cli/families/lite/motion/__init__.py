"""Block motion of P frames: search, vectors as bytes, compensation. This folder knows arrays and bytes, no networks."""
