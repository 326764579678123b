"""`python -m innerloop ...` is `innerloop ...`, also where its folder is on no path."""

import sys

from innerloop.cli.main import main

sys.exit(main())
