from __future__ import annotations

from vault.telemetry.log_samples import LogSampler


def test_one_sample_of_each_source() -> None:
    samples = LogSampler()
    assert samples.take("a")
    assert not samples.take("a")
    assert samples.take("b")


def test_another_after_the_interval() -> None:
    samples = LogSampler(interval=0.0)
    assert samples.take("a")
    assert samples.take("a")


def test_a_flood_from_many_sources_is_bounded() -> None:
    samples = LogSampler(sources=2)
    assert [samples.take(source) for source in "abcd"] == [True, True, False, False]


def test_sources_that_are_over_make_room() -> None:
    samples = LogSampler(interval=0.0, sources=2)
    assert all(samples.take(source) for source in "abcd")
    assert len(samples._taken) == 2
