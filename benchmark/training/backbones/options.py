"""What ``protocol.backbone.options`` may hold, checked before anything is read or trained."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.config import BackboneParams


class Options(BaseModel):
    """The options of a backbone that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


T = TypeVar("T", bound=Options)


def validated(kind: type[T], params: BackboneParams) -> T:
    """Return the options of a backbone, with defaults where nothing is said.

    Raises:
        ValueError: an unknown option, or a value out of its range.
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
    """Refuse heads that do not divide the embedding size.

    Raises:
        ValueError: they do not.
    """
    if size % heads:
        raise ValueError(
            f"option 'heads' of the backbone {name} is {heads}, which does not divide the "
            f"embedding size {size}"
        )
