from sam3_edge.runtime.sinks.outage import STEADY_S, Outage


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_an_outage_is_told_once_at_each_end() -> None:
    told: list[str] = []
    clock = Clock()
    outage = Outage("there", told.append, clock)
    assert outage.delivered()
    assert told == []
    outage.lose("refused", 0)
    outage.lose("another reason", 2)
    assert told == ["there: refused; results are dropped until it is back"]
    assert not outage.delivered()
    clock.now_s += STEADY_S
    assert outage.delivered()
    assert told[1:] == ["there: it is back; results lost: 2"]
    outage.lose("broken")
    outage.delivered()
    outage.end()
    outage.end()
    assert told[2:] == [
        "there: broken; results are dropped until it is back",
        "there: it is back; results lost: 1",
    ]
    assert outage.num_lost == 3


def test_one_that_comes_and_goes_at_once_was_not_back() -> None:
    told: list[str] = []
    clock = Clock()
    outage = Outage("there", told.append, clock)
    for _ in range(20):
        outage.lose("refused")
        clock.now_s += STEADY_S / 2
        outage.delivered()
        clock.now_s += STEADY_S / 2
    assert len(told) == 1
    outage.lose("refused")
    outage.end()
    assert len(told) == 1  # nothing came through


def test_what_the_partner_itself_says_is_told_too_and_once() -> None:
    told: list[str] = []
    clock = Clock()
    outage = Outage("there", told.append, clock)
    for _ in range(2):
        told.clear()
        outage.lose("away")
        for _ in range(3):
            outage.lose("wrong password", refused=True)
            outage.lose("away")
        assert [text.split(";")[0] for text in told] == ["there: away", "there: wrong password"]
        outage.delivered()
        clock.now_s += STEADY_S
        assert outage.delivered()
        assert told[-1] == "there: it is back; results lost: 7"
