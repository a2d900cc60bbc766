from sam3_edge.runtime.gstreamer.least_delay import LeastDelay

SECOND = 1_000_000_000


def test_lateness_is_measured_from_the_soonest_whatever_the_clock_says() -> None:
    for moved in (-7 * SECOND, 0, 3600 * SECOND):
        delays = LeastDelay()
        seen = [
            delays.beyond(moved + late, 1000 + index) for index, late in enumerate([9, 4, 6, 2, 5])
        ]
        assert seen == [0, 0, 2, 0, 3]


def test_a_clock_that_drifts_does_not_make_pictures_old() -> None:
    """1 ms in 10 s, for ten hours, at one picture a second."""
    delays = LeastDelay()
    late = [delays.beyond(second * 100_000, second * SECOND) for second in range(36_000)]
    assert max(late) <= 1_000_000
    late = [delays.beyond(-second * 100_000, second * SECOND) for second in range(36_000, 72_000)]
    assert max(late) == 0


def test_it_is_the_least_of_the_last_ten_seconds() -> None:
    values = [(index * 7919) % 101 for index in range(500)]
    delays = LeastDelay()
    for index, value in enumerate(values):
        expected = value - min(values[max(0, index - 100) : index + 1])
        assert delays.beyond(value, index * SECOND // 10) == expected
