"""The floor: blocks of the networks' picture replaced or corrected. Knows arrays and bytes, no networks."""
