"""What DCVC-DC and DCVC-FM share: P frames predicted from diverse contexts, latents coded in four steps."""
