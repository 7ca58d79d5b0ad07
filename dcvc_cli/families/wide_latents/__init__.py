"""Latents of published codecs in floating point: 16-bit symbols, tables that reach 50, the dual spatial prior."""
