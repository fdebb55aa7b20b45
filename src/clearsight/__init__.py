"""Clearsight turns labelled images into a classifier you can trust."""
