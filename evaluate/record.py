"""What the result types share: frozen, checked when they are made, and the same in a JSON file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0)]
"""Errors over units of reference: more than 1 where there are more errors than units."""
Name = Annotated[str, Field(min_length=1)]


class Record(BaseModel):
    """A result. Unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
