"""The command line `limner`, which `python -m limner` is too."""

import sys

from limner.bot.__main__ import main

sys.exit(main())
