"""The output filter: pictures filtered before they are put out, filters as bytes, their fit. Knows arrays and bytes, no
networks."""
