"""`python -m cutover.aws.permissions`: write the actions and docs/iam-policy.json anew, after a call was added."""

from __future__ import annotations

import json
import sys

from cutover.aws.permissions import RECORD, collect, policy
from cutover.files import write_whole


def main() -> None:
    """Write both files."""
    actions = collect()
    write_whole(RECORD, json.dumps(actions, indent=2) + "\n")
    target = RECORD.parents[4] / "docs" / "iam-policy.json"
    write_whole(target, json.dumps(policy(actions), indent=2) + "\n")
    sys.stdout.write(f"{len(actions['looks'])} actions to look, {len(actions['changes'])} to change: {target}\n")


if __name__ == "__main__":
    main()
