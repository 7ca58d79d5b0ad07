"""The output filter: filtering, filters as bytes, the fit. This folder knows arrays and bytes, no networks."""
