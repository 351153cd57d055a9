"""How many processor cores this process may really use: a container often has fewer than its machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """The cores that the process is bound to, or fewer when its container has a quota; at least 1.

    cgroups: where Linux shows the limits; a container sees its own there.
    Python 3.13's os.process_cpu_count() knows the first, but no quotas.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroups)
    return max(min(bound, math.ceil(quota)) if quota else bound, 1)


def _quota(cgroups: Path) -> float | None:
    """Cores' worth of time, e.g. 1.5; None: no limit, or not Linux."""
    for quota, period in (("cpu.max", ""), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # cgroups 2 and 1
        try:
            numbers = (cgroups / quota).read_text().split()
            if period:
                numbers.append((cgroups / period).read_text().strip())
            limit, per = (int(number) for number in numbers)
        except (OSError, ValueError):  # not there, or "max"
            continue
        if limit > 0 and per > 0:
            return limit / per
    return None
