"""The options of backbones, which are checked before any data is read."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.config import BackboneParams


class Options(BaseModel):
    """The options of a backbone that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


T = TypeVar("T", bound=Options)


def validated(kind: type[T], params: BackboneParams) -> T:
    """Return the options of a backbone, with defaults for those that are not given.

    Raises:
        ValueError: an option is unknown, or its value is outside its range.
    """
    try:
        return kind.model_validate(params.options)
    except ValidationError as error:
        first = error.errors()[0]
        option, known = ".".join(map(str, first["loc"])), ", ".join(kind.model_fields) or "none"
        raise ValueError(
            f"option {option!r} of the backbone {params.name}: {first['msg']}; known: {known}"
        ) from None


def check_heads(name: str, size: int, heads: int) -> None:
    """Check that the number of heads divides the embedding size.

    Raises:
        ValueError: It does not.
    """
    if size % heads:
        raise ValueError(
            f"option 'heads' of the backbone {name} is {heads}, which does not divide the "
            f"embedding size {size}"
        )
