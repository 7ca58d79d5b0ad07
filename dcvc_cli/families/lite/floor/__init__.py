"""The floor replaces or corrects blocks of the networks' picture. This folder knows arrays and bytes, no networks."""
