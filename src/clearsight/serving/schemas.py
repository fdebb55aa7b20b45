"""The content of requests and responses, as described by OpenAPI. Pictures are PNG data URIs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"}, min_length=1)]


class ImagesBody(BaseModel):
    """Images as base64, with or without `data:image/png;base64,` before it."""

    model_config = ConfigDict(extra="forbid")
    images: list[Base64] = Field(min_length=1)


class Unreadable(BaseModel):
    """An image that cannot be read, among others that can."""

    model_config = ConfigDict(extra="forbid")
    image: str
    error: str


class FaithfulnessBody(BaseModel):
    """Areas under the curves of the probability under deletion and insertion; score at or below 0: not better than
    chance; verdict: the score in words.
    """

    verdict: str
    score: float
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float


class ExplanationBody(BaseModel):
    """A heatmap. target: the class, label or number that places speak for, or "anomaly". opposite: of two classes the
    other, else "". probability: of the target, null for a number; value: the number, null for the others; faithfulness
    is in probabilities, or in the number's spread, and never measured for anomalies. strongest: the value of the map
    farthest from 0, of anomaly-map in deviations. picture: a PNG data URI of the image in gray under the map's colours.
    below, above: the image as the network sees it, and the map in colours as opaque as it is strong, to lay over it,
    where asked for. signed: places may speak against the target. heat: rows of the map, where asked for; shape: its
    height and width. verdict: its faithfulness and limitations, in words.
    """

    image: str
    method: str
    task: str
    target: str
    opposite: str
    probability: float | None
    value: float | None
    strongest: float
    shape: tuple[int, int]
    picture: str | None
    below: str | None
    above: str | None
    signed: bool
    heat: list[list[float]] | None
    faithfulness: FaithfulnessBody | None
    randomised: float | None
    verdict: str
    settings: dict[str, Any]
    seconds: float


class Neighbour(BaseModel):
    """An indexed image. likeness: cosine of the embeddings. label: its class, labels or numbers in words, "" where it
    has none. picture: a PNG data URI of it, where asked for and the image is still there.
    """

    image: str
    label: str
    likeness: float
    picture: str | None = None


class Neighbours(BaseModel):
    """The indexed images most similar to the one sent, best first."""

    image: str
    neighbours: list[Neighbour]


class ModelCard(BaseModel):
    """The model in service. task: its name, such as classification. classes: names of what is predicted. task_card:
    what else is needed to read predictions, such as thresholds; null for classes. studio: the view of predictions in
    the studio. sounds: it learned from WAV files. methods: those `explain` takes. search: whether it has an index.
    left_out: what this model or its folder lacks, each with the reason and the command that adds it: search, attack,
    network, patches, report, robustness. unsuited: those that no model of this task has. accepts: limits of a request.
    """

    name: str
    task: str
    classes: list[str]
    task_card: dict[str, Any] | None
    studio: str
    network: str
    input: dict[str, Any]
    temperature: float
    sounds: bool
    images: int | None
    ood_detector: dict[str, Any] | None
    scores: dict[str, Any]
    versions: dict[str, str]
    engine: str
    methods: list[str]
    search: bool
    left_out: dict[str, str]
    unsuited: list[str]
    accepts: dict[str, float]


class Health(BaseModel):
    """ready: the engine is warm, requests are answered."""

    status: str


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
    operation: str
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
