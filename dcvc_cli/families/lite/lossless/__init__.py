"""The lossless layer of `lite` (docs/lossless.md)."""
