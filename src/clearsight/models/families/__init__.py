"""Every family of networks, one file each; importing the package imports them all, and so fills the registry."""

from importlib import import_module
from pkgutil import iter_modules

for _family in iter_modules(__path__):
    import_module(f"{__name__}.{_family.name}")
