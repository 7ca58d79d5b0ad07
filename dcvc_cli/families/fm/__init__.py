"""The family `dcvc-fm`: the published codec DCVC-FM (CVPR 2024)."""
