"""Whether what a command asks for can be held in this machine's memory at all."""

from __future__ import annotations

import os


def check_fits(what: str, needed: float, advice: str) -> None:
    """Refuse what needs more memory than the machine has, before it grows until the system kills.

    Args:
        what: what takes the memory, for the message.
        needed: bytes that it takes at least.
        advice: what to choose instead.

    Raises:
        ValueError: where it does not fit; memory that others use is not subtracted.
    """
    held = installed()
    if held is not None and needed > held:
        raise ValueError(
            f"{what} needs at least {needed / 1e9:,.0f} GB of memory, this machine has "
            f"{held / 1e9:,.0f} GB: {advice}"
        )


def installed() -> int | None:
    """Return the bytes of memory of this machine; ``None`` where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
