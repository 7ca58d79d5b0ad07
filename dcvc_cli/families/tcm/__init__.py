"""DCVC-TCM: contexts of three sizes, made of the decoded feature of the frame before. Source: DCVC-TCM (2022)."""
