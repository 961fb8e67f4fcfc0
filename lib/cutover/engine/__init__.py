"""Running notebooks headlessly: kernels, papermill's engine, signals, and how a run ended."""

from cutover.engine.execute import Event, RunResult, execute

__all__ = ["Event", "RunResult", "execute"]
