"""What the architecture should look like: names, sizes and settings; defaults are the corrected guide's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Expectations(BaseModel):
    """All expectations, a section for each service."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
