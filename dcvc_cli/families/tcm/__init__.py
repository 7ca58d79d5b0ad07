"""DCVC-TCM: contexts of three sizes, mined from the decoded feature of the frame before. Source: DCVC-TCM (2022)."""
