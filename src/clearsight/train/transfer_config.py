"""The options on how a pretrained network is trained further, beside which of its weights are kept fixed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clearsight.train.option_field import option


@dataclass(frozen=True)
class TransferConfig:
    """Which layers of a pretrained network are trained, by name, and what is trained on top of them."""

    freeze_to: str | None = option(
        None,
        "last layer of the pretrained network to freeze; the layers above it are trained (default: set by --freeze)",
    )
    head_widths: str | None = option(
        None,
        "units of the hidden dense layers in the head of a pretrained network, such as 256 or 256,128 (default: none)",
    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of the head's hidden layers, from the features on."""
        return tuple(int(n) for n in self.head_widths.split(",")) if self.head_widths else ()

    def given(self) -> list[str]:
        """The options that are given, each of which needs published weights."""
        values = {"--freeze-to": self.freeze_to, "--head-widths": self.head_widths}
        return [name for name, value in values.items() if value is not None]

    def conflicts(self, freeze: str, pretrained: bool | None) -> list[str]:
        """What is wrong with these options beside --freeze and --pretrained."""
        found = []
        if self.freeze_to is not None and freeze != "auto":
            found.append(f"--freeze-to and --freeze {freeze} both set which weights are frozen: drop one")
        if self.head_widths is not None and not re.fullmatch(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*", self.head_widths):
            found.append(f"--head-widths must be numbers of units, such as 256 or 256,128, not {self.head_widths!r}")
        if self.head_widths is not None and freeze == "recipe":
            found.append("--freeze recipe chooses the head itself: drop --head-widths")
        if pretrained is False and self.given():
            found.append(
                f"--no-pretrained excludes the published weights needed for {', '.join(self.given())}: drop one"
            )
        return found
