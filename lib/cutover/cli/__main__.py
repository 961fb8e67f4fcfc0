"""`python -m cutover.cli` is `cutover`."""

from __future__ import annotations

import os

from cutover.cli.entry import main

os.environ.setdefault("PYTHONUNBUFFERED", "1")
main()
