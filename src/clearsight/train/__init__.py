"""From prepared data to a bundle: `fit` decides, the probe and the loop do the work."""
