"""Kinds of numbers that settings hold, with their bounds."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        message = "should be a number, not true or false"
        raise ValueError(message)
    return value


Number = BeforeValidator(_no_truth_value)
"""Python counts true as 1; whoever writes it means something else."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), Number]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False), Number]
Inside = Annotated[float, Field(gt=0, lt=1), Number]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), Number]
Whole = Annotated[int, Field(ge=0), Number]
Count = Annotated[int, Field(ge=1), Number]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), Number]
Seed = Annotated[int, Field(ge=0, lt=2**32), Number]
Spacing = tuple[Positive, Positive, Positive]
