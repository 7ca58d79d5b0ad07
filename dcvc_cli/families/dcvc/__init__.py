"""DCVC: a P frame conditioned on one context, with serial context models. Source: DCVC (NeurIPS 2021)."""
