"""The family `dcvc-dc`: the published codec DCVC-DC (CVPR 2023)."""
