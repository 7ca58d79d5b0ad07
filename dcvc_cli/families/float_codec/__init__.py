"""The parts that DCVC and DCVC-TCM share. Both codecs run in float on PyTorch and code their latents word by word.

Parts: layers, motion, tables, the byte form, I-frame models, pictures in RGB. Source of the byte form:
docs/entropy-coding.md, "Words".
"""
