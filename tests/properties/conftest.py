"""How long Hypothesis looks: briefly by default, longer with ``--hypothesis-profile=long``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A noisy machine must not fail a property, so nothing here is about time; the short run is always the same.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("short", max_examples=120, deadline=None, derandomize=True, suppress_health_check=_SLOW)
settings.register_profile("long", max_examples=3000, deadline=None, suppress_health_check=_SLOW)
if settings.get_current_profile_name() != "long":
    settings.load_profile("short")
