"""The region of a whole batch."""

from __future__ import annotations

from vault.errors import InvalidRequest
from vault.formats import Format, FormatOptionError, HasRegions
from vault.policy.model import Field

__all__ = ["format_for_region"]


def format_for_region(field: Field, region: str) -> Format:
    """Returns the format that a batch of a field is parsed with.

    Args:
        region: ISO 3166-1 alpha-2 code, or empty for the policy's.

    Raises:
        InvalidRequest: the field's values are of no region, or there is no such region.
    """
    form: object = field.format
    if not region:
        return field.format
    if not isinstance(form, HasRegions):
        raise InvalidRequest("only fields of format phone take a region: leave it out")
    try:
        return form.for_region(region)
    except FormatOptionError as error:
        # The message names the rule; the region may be anything that a caller wrote.
        raise InvalidRequest(error.message) from None
