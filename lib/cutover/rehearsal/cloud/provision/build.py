"""The order in which the parts are built: what a part needs is there before it (the guide's order is not)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cutover.errors import StageError
from cutover.rehearsal.cloud.provision import access, data, edge, literal, network, service, watch
from cutover.rehearsal.cloud.provision.plan import Hands, Plan


def provision(endpoint: str, plan: Plan | None = None) -> dict[str, Any]:
    """Build the whole architecture in an empty emulated account.

    Args:
        endpoint: the emulator's URL.
        plan: what differs from stage to stage.

    Returns:
        Facts for the stage: ARNs and ids by name; `load_balancer_dns` is the name that the alias record will have.

    Raises:
        StageError: a call was refused, or the first release does not start.
    """
    hands = Hands(endpoint, plan or Plan())
    try:
        data.build_buckets(hands)
        network.build(hands)
        access.build_roles(hands)
        data.build_database(hands)
        data.build_queue(hands)
        data.build_secrets(hands)
        watch.build_logs(hands)
        service.build_images(hands)
        service.build_balancer(hands)
        (literal.build_alarms if hands.plan.literal else watch.build_alarms)(hands)
        service.build_service(hands)
        service.build_scaling(hands)
        watch.build_dashboard(hands)
        watch.build_books(hands)
        watch.build_guards(hands)
        edge.build_distribution(hands)
        zone = edge.build_name(hands)
        if hands.plan.literal:
            literal.build_deployer(hands)
            return hands.made  # as it is written, the service would never become stable
        access.build_deployer(hands, zone)
        service.wait_for_service(hands)
    except (BotoCoreError, ClientError) as error:
        raise StageError(
            f"The emulated account could not be built: {error}.",
            todo="look into calls.jsonl in the emulator's state folder; its last line is the call that was refused.",
        ) from error
    return hands.made
