"""What every test shares: one profile for Hypothesis, so that a run is the same here and in CI."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "promptyoself",
    deadline=None,  # a loaded machine is slow, not wrong
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("promptyoself")
