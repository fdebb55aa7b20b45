"""The page a person reads: the only package, with export and serve, that draws."""
