"""What will be measured."""

from dataclasses import fields

import pytest

from sam3_edge.bench.plan import Configuration, make_plan, parse_counts, parse_size, plan_text
from sam3_edge.errors import UsageError


def test_each_variation_differs_from_the_first_in_one_thing() -> None:
    plan = make_plan(
        bundles=("a", "b"),
        source=None,
        sizes=((640, 480), (1920, 1080)),
        fps=30,
        num_prompts=(1, 2, 4),
        threads=(4, 6),
    )
    assert plan.first == Configuration(
        bundle="a", source=None, size=(640, 480), fps=30, num_prompts=1, threads=4
    )
    told = [(each.varied, each.value) for each in plan.variations]
    assert told == [
        ("num_prompts", "2"), ("num_prompts", "4"), ("threads", "6"), ("size", "1920x1080"),
        ("bundle", "b"),
    ]  # fmt: skip
    for each in plan.variations:
        different = [
            field.name
            for field in fields(Configuration)
            if getattr(each.configuration, field.name) != getattr(plan.first, field.name)
        ]
        assert different == [each.varied]
    assert "6 times" in plan_text(plan, 200, 20)


def test_lists_and_sizes_are_read() -> None:
    assert parse_size("1280X720") == (1280, 720)
    assert parse_counts(" 1, 2,2,16") == (1, 2, 16)


@pytest.mark.parametrize("text", ["", "1280", "x", "63x64", "64x99999999999", "-1x64", "٣x64"])
def test_a_bad_size_says_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"--size: expected .* got .*; try --size 1280x720"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "0", "1,", "257", "a", "1;2", "-1"])
def test_bad_counts_say_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"--num-prompts: expected .* got .*; try"):
        parse_counts(text)
