"""The checks of the data audit, one subject per module. Each returns findings and changes nothing."""
