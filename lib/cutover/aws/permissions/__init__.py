"""What the caller must be allowed to do, generated from the calls that Cutover makes."""

from cutover.aws.permissions.calls import calls
from cutover.aws.permissions.document import RECORD, collect, iam_action, policy, recorded, resources

__all__ = ["RECORD", "calls", "collect", "iam_action", "policy", "recorded", "resources"]
