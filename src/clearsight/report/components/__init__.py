"""What pages, notebook fragments and sheets are made of: the pieces of a section and the pictures in them.

A component is a template here and the small module that fills it. Pages, in `report`, put components together.
"""
