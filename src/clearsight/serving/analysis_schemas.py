"""What attacks and looks into the network answer, as OpenAPI tells it. Pictures are PNG data URIs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class AttackBody(BaseModel):
    """An image attacked. target: the class to reach, null where the attack leads away from the answer. largest, length:
    of the change, in pixels' range from 0 to 1. before, after: predictions. difference: what changed, gain times
    enlarged around gray.
    """

    method: str
    norm: str
    epsilon: float
    steps: int
    target: str | None
    largest: float
    length: float
    before: Any
    after: Any
    picture: str
    attacked: str
    difference: str
    gain: float


class LayerBody(BaseModel):
    """A node of the network: the image, a layer, or a place where several ways meet (add, multiply, concat, join).

    number: how other requests name it. group: the block it stands in. inputs: numbers of the nodes that feed it. shape:
    of its output; units, height, width: the same as units at places. visible: what it gives out for an image can be
    looked at. receptive_field: side in pixels of what a unit sees. arithmetic: the sums behind size and cost.
    """

    number: int
    name: str
    kind: str
    group: str
    inputs: list[int]
    shape: list[int]
    units: int
    height: int
    width: int
    visible: bool
    parameters: int
    multiply_adds: int
    receptive_field: int | None
    arithmetic: str


class NetworkBody(BaseModel):
    """The network as a graph, its nodes in the order they run, the image first."""

    layers: list[LayerBody]
    parameters: int
    multiply_adds: int


class LayerMaps(BaseModel):
    """Units of a layer that are shown, as tiles of the picture from number `first` on. silent: units that are the same
    at every place. peaks: of each shown unit the value farthest from zero. below_zero: red stands for positive and blue
    for negative values; else dark is zero.
    """

    layer: int
    units: list[int]
    total: int
    silent: int
    below_zero: bool
    first: int
    peaks: list[float]


class MapsBody(BaseModel):
    """Maps of an image. picture: square tiles of `side` pixels in rows of `columns`, each to its own strongest."""

    layers: list[LayerMaps]
    side: int
    columns: int
    tiles: int
    picture: str


class ViewBody(BaseModel):
    """What units see of the image, as (height, width) in pixels: unit i sees `side` pixels from start + i * jump on."""

    side: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]


class FeederBody(BaseModel):
    """An input of a unit. layer: null where it is not known which node it comes from. amount: what it adds to the unit
    at its strongest place, null where the layer is no sum. weights: of the filter that the input passes.
    """

    layer: int | None
    unit: int
    amount: float | None
    value: float | None
    weights: list[list[float]] | None


Box = tuple[int, int, int, int]


class UnitBody(BaseModel):
    """A unit's map of the image. place: row and column where it is farthest from zero, with that value as activation.
    window: what it sees from there (top, left, bottom, right), which may reach beyond the image; looked_at: where 90 %
    of its gradient lies. feeders: the inputs with the largest amounts, of `inputs` in all; they, the rest and the bias
    add up to the activation where bias is not null.
    """

    layer: int
    unit: int
    activation: float
    mean: float
    below_zero: bool
    place: tuple[int, int]
    window: Box
    looked_at: Box | None
    view: ViewBody | None
    picture: str
    how: str
    feeders: list[FeederBody]
    inputs: int
    rest: float | None
    bias: float | None


class PatchBody(BaseModel):
    """A place in a training image that excites a unit. picture: what the unit sees of it, `size` pixels of the image;
    looked_at: the box in it that the unit looks at.
    """

    image: str
    label: str
    activation: float
    picture: str
    size: tuple[int, int]
    looked_at: Box


class PatchesBody(BaseModel):
    """The strongest places, one an image at most, of so many images searched. mean: the unit's largest activation in an
    image, on average. gated: squeeze-and-excitation before it makes the unit depend on the whole image too.
    """

    layer: int
    unit: int
    images: int
    mean: float
    gated: bool
    patches: list[PatchBody] = Field(max_length=64)
