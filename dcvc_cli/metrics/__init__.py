"""Quality measures of decoded pictures, Bjontegaard-delta rates, and the result files that hold both."""
