"""How often somebody may fail to sign in.

Counted in memory, per process: a token has at least 160 bits, so nobody guesses one; the limit spares Label Studio,
which is asked about every token, and it must not depend on the queue's Redis. Only failures count, so that an office
behind one address can sign in on Monday morning.
"""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from custom_ai.errors import N_, CustomAIError

_EVERYBODY = "everybody"


class TooManyAttempts(CustomAIError):
    code, status = "too_many_attempts", 429
    template = N_("There were too many failed sign-ins. Please wait {minutes} min, then try again.")

    def __init__(self, *, seconds: float) -> None:
        self.retry_after_s = max(1, math.ceil(seconds))
        super().__init__(minutes=math.ceil(self.retry_after_s / 60))


class Attempts:
    """Counts failures per address and in all; after too many of them nothing is tried for a while."""

    def __init__(self, per_address: int, in_all: int, minutes: int = 10) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_address: RateLimitItem = RateLimitItemPerMinute(per_address, minutes)
        self._in_all: RateLimitItem = RateLimitItemPerMinute(in_all, minutes)

    def check(self, address: str | None) -> None:
        """Raises TooManyAttempts, which says how long to wait."""
        waits = [
            self._limiter.get_window_stats(limit, who).reset_time - time.time()
            for limit, who in self._limits(address)
            if not self._limiter.test(limit, who)
        ]
        if waits:
            raise TooManyAttempts(seconds=max(waits))

    def failed(self, address: str | None) -> None:
        """Count one failure."""
        for limit, who in self._limits(address):
            self._limiter.hit(limit, who)

    def _limits(self, address: str | None) -> list[tuple[RateLimitItem, str]]:
        return [(self._per_address, _neighbourhood(address)), (self._in_all, _EVERYBODY)]


def _neighbourhood(address: str | None) -> str:
    """The address; of IPv6 its /64 network, which one subscriber has for himself."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
