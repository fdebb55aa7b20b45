"""Terms of use of the built-in data sets, which every audit of them states."""

from __future__ import annotations

IDENTIFIERS = {
    "digits": "cc-by-4.0",
    "elpv": "cc-by-nc-sa-4.0",
    "fashion-mnist": "mit",
}
"""Licences of the built-in data sets whose authors state one, as SPDX and the Hugging Face Hub name them."""

LICENCES = {
    "elpv": (
        "elpv is licensed under CC BY-NC-SA 4.0: non-commercial use only, with attribution and under the same licence "
        "(https://github.com/zae-bayern/elpv-dataset)",
        "elpv does not state which cells belong to one module; random splits put cells of one module on both sides, so "
        "scores on new modules may be lower",
    ),
}


def licence_notes(origin: str) -> tuple[str, ...]:
    """What a user of a built-in data set must know.

    Args:
        origin: how the user named the data.

    Returns:
        Notes; none for the user's own data.
    """
    return LICENCES.get(origin.removeprefix("builtin:"), ())
