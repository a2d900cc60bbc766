from pathlib import Path

import pytest

from sam3_edge.jetson.board import Board, guess_jetpack, parse_l4t, read_board
from tests.jetson.trees import write_tree


def test_an_orin_nano(orin_nano: Path) -> None:
    assert read_board(orin_nano) == Board(
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        soc="tegra234",
        l4t="36.4.7",
        jetpack="6.2.1",
        kernel="5.15.148-tegra",
        memory_bytes=7802072 * 1024,
    )


def test_a_pc_is_no_jetson(pc: Path) -> None:
    assert read_board(pc) is None


def test_another_board_with_a_device_tree_is_no_jetson(tmp_path: Path) -> None:
    names = {"model": "Raspberry Pi 5 Model B\0", "compatible": "raspberrypi,5\0brcm,bcm2712\0"}
    write_tree(tmp_path, {f"proc/device-tree/{name}": text for name, text in names.items()})
    assert read_board(tmp_path) is None


def test_a_carrier_board_of_another_maker_is_known_by_its_chip(tmp_path: Path) -> None:
    base = "sys/firmware/devicetree/base"
    write_tree(
        tmp_path,
        {f"{base}/model": "Acme Carrier 3\0", f"{base}/compatible": "acme,c3\0nvidia,tegra264\0"},
    )
    board = read_board(tmp_path)
    assert board == Board(
        model="Acme Carrier 3",
        soc="tegra264",
        l4t=None,
        jetpack=None,
        kernel=None,
        memory_bytes=None,
    )


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        ("# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic", "36.4.7"),
        ("# R35 (release), REVISION: 6.2, GCID: 1", "35.6.2"),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "38.2.0"),
        ("# R36 (release), REVISION: five", None),
        ("R36", None),
        ("", None),
    ],
)
def test_release_of_jetson_linux(text: str, l4t: str | None) -> None:
    assert parse_l4t(text) == l4t


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.3.0", "6.0"),
        ("36.4.0", "6.1"),
        ("36.4", "6.1"),
        ("36.4.3", "6.2"),
        ("36.4.4", "6.2.1"),
        ("36.4.7", "6.2.1"),
        ("36.5.0", "6.2.2"),
        ("36.6.0", "6"),  # not known yet
        ("36.2.0", "6"),
        ("35.4.1", "5"),
        ("38.2.1", "7.0"),
        ("39.2.0", "7"),
        ("99.1.0", None),
    ],
)
def test_jetpack_is_guessed_no_further_than_known(l4t: str, jetpack: str | None) -> None:
    assert guess_jetpack(l4t) == jetpack
