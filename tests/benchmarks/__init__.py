"""How fast Limner is, beside something simpler in the same run: `limner bench NAME`."""

import os

# Before torch is loaded: the rival waits for its threads as the worker does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
