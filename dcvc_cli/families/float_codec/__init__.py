"""What codecs share that run in float on PyTorch and code their latents word by word: DCVC and DCVC-TCM.

Layers, motion, tables, the byte form, I-frame models, and pictures in RGB. Source of the byte form:
docs/entropy-coding.md, "Words".
"""
