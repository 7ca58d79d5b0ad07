"""Block motion of P frames: search, vectors as bytes, compensation. Knows arrays and bytes, no networks."""
