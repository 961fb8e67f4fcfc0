"""The papermill engine that tells the truth on every ending of a notebook."""

from __future__ import annotations

from typing import Any


class CutoverEngine:
    """`papermill --engine cutover`."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run with papermill's own engine."""
        from papermill.engines import NBClientEngine  # noqa: PLC0415 - papermill loads this module while it is loading

        return NBClientEngine.execute_notebook(nb, kernel_name, **kwargs)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel that the notebook names."""
        from papermill.utils import nb_kernel_name  # noqa: PLC0415

        return str(nb_kernel_name(nb, name))

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language that the notebook names."""
        from papermill.utils import nb_language  # noqa: PLC0415

        return str(nb_language(nb, language))
