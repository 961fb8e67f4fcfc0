"""A view of the requirements by its name, in whichever module it stands."""

from __future__ import annotations

from cutover.aws import requirements
from cutover.aws.requirements.stack import View


def view(name: str) -> type[View]:
    """The view's class.

    Raises:
        KeyError: there is none.
    """
    for module in vars(requirements).values():
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, View):
            return found
    raise KeyError(name)
