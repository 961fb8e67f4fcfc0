"""How operations are added to moto: methods of a small class of ours are set on moto's own class.

moto finds an operation by its method on the service's response class, then parses the request and serialises the
answer by botocore's model in every protocol; so a method that returns a dict is all that a new operation needs.
"""

from __future__ import annotations

from typing import Any


def extend(original: type[Any], addition: type[Any]) -> None:
    """Set every attribute that `addition` defines itself on `original`, replacing what is there.

    Args:
        original: moto's class.
        addition: ours; never instantiated, `self` in its methods is an instance of `original`.
    """
    for name, attribute in vars(addition).items():
        if not (name.startswith("__") and name.endswith("__")):
            setattr(original, name, attribute)
