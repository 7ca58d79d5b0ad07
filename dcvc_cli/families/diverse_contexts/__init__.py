"""The parts that DCVC-DC and DCVC-FM share. They predict P frames from diverse contexts and code latents in four
steps."""
