"""Entropy coding of quantised latents: probability tables, the scale-to-table rule, and the frame coder."""
