"""Suggestions for misspelt names: close for their length, and none where none is."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.cli.main import COMMANDS, command_parser, main
from clearsight.spelling import close_names, edit_distance


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("ab", "ba", 1),
        ("abcd", "acbd", 1), ("ca", "abc", 3), ("overwrite", "overwrite", 0),
    ],
)  # fmt: skip
def test_distances_worked_by_hand(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_a_distance_is_at_most_the_edits_that_were_made():
    rng = np.random.default_rng(0)
    for _ in range(100):
        letters = list(rng.choice(list("abcdefgh"), rng.integers(4, 20)))
        text, edits = "".join(letters), int(rng.integers(1, 4))
        for _ in range(edits):
            place = int(rng.integers(len(letters)))
            kind = rng.integers(3)
            letters[place : place + (kind > 0)] = ["z"] * int(kind < 2)
        assert abs(len(text) - len(letters)) <= edit_distance(text, "".join(letters)) <= edits


OPTIONS = {
    name: sorted(o for o in command_parser(name)._option_string_actions if o.startswith("--")) for name in COMMANDS
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_suggested_for_its_misspellings_only(command):
    """Of an option with two letters exchanged it is the first suggestion; options of other commands are none, unless
    they are close.
    """
    known = OPTIONS[command]
    for option in known:
        assert close_names(option.upper(), known)[0] == option
        middle = len(option) // 2
        swapped = option[:middle] + option[middle + 1] + option[middle] + option[middle + 2 :]
        if len(option) > 5 and swapped not in known:
            assert close_names(swapped, known)[0] == option
    for option in {o for others in OPTIONS.values() for o in others} - set(known):
        for other in close_names(option, known):
            one, two = option.lstrip("-"), other.lstrip("-")
            assert two.startswith(one) or edit_distance(one, two) <= max(1, max(len(one), len(two)) / 3)


@pytest.mark.parametrize("wrong", ["--overwrite", "--keep-ood", "--candidates", "--x", "--zzzz", "--verbose"])
def test_no_option_is_suggested_where_none_is_close(wrong, capsys):
    assert main(["audit", "digits", wrong]) == 2
    message = capsys.readouterr().err
    assert f"audit has no option {wrong}" in message
    assert "did you mean" not in message.lower()
    assert "`clearsight audit --help` lists the options" in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["audit", "digits", "--preveiw"], "Did you mean --preview?"),
        (["train", "digits", "--batch"], "Did you mean --batch-size?"),
        (["trian", "digits"], "did you mean train?"),
        (["exprot", "run"], "did you mean export?"),
        (["Predict", "run"], "did you mean predict?"),
    ],
)
def test_a_close_name_is_suggested(words, expected, capsys):
    with pytest.raises(SystemExit) if words[0] not in COMMANDS else pytest.MonkeyPatch.context():
        assert main(words) == 2
    assert expected in capsys.readouterr().err


def test_an_unknown_command_far_from_all_lists_them(capsys):
    with pytest.raises(SystemExit):
        main(["frobnicate"])
    message = capsys.readouterr().err
    assert "did you mean" not in message
    assert "known: attack, audit" in message
