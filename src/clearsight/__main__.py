"""`python -m clearsight`, the command line where the `clearsight` script is not on the path."""

import sys

from clearsight.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
