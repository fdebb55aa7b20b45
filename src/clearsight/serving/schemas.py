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
    """A heatmap. target: the class, label or number that is explained, or "anomaly". opposite: the other of two
    classes, else "". probability: that of the target, null for a number; value: the number, null for the others;
    faithfulness is in probabilities, or in the number's spread, and never measured for anomalies. strongest: the value
    of the map farthest from 0, for anomaly-map in standard deviations. picture: a PNG data URI of the gray image under
    the colours of the map. below, above: the image as the network sees it, and the map as a semi-transparent overlay,
    if requested. signed: places may be evidence against the target. heat: rows of the map, if requested; shape: its
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
    """An indexed image. likeness: cosine of the embeddings. label: its class, labels or numbers in words, "" without
    any. picture: a PNG data URI of it, if requested and the image still exists.
    """

    image: str
    label: str
    likeness: float
    picture: str | None = None


class Neighbours(BaseModel):
    """The indexed images most similar to the query, best first."""

    image: str
    neighbours: list[Neighbour]


class ModelCard(BaseModel):
    """The served model. task: its name, such as classification. classes: names of classes, labels or numbers.
    task_card: other facts needed to read predictions, such as thresholds; null for classes. studio: the view of
    predictions in the studio. sounds: it was trained on WAV files. methods: those supported by `explain`. search:
    whether it has an index. left_out: missing features of this model or its folder, each with the reason and the
    command that adds it: search, attack, network, patches, report, robustness. unsuited: features that no model of this
    task has. accepts: limits of a request.
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


class DriftSignal(BaseModel):
    """One signal of the images of requests, compared with validation images."""

    signal: str = Field(description="ood_score, output (such as the class) or brightness")
    words: str
    images: int = Field(description="images compared in this week")
    validation_mean: float
    mean: float | None = Field(description="mean of this week's images")
    log10_capital: float = Field(description="log10 of the capital of the sequential test")
    alarm: bool = Field(description="whether drift was detected in this week")


class Drift(BaseModel):
    """Whether the images of requests differ from the validation images."""

    false_alarms_per_week: float = Field(description="probability of a false alarm in a week without drift, at most")
    threshold: float | None = Field(description="log10 of the capital that raises an alarm")
    hours: float = Field(description="hours since this week began")
    reason: str | None = Field(description="why nothing is compared")
    signals: list[DriftSignal]


class Health(BaseModel):
    """ready: the engine is warmed up and requests are served."""

    status: str


class AttackBody(BaseModel):
    """An adversarial image. target: the class to reach, null for an untargeted attack. largest, length: L-infinity and
    L2 norm of the change, for pixels from 0 to 1. before, after: predictions. difference: the change around gray,
    amplified by gain.
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
    """A node of the network: the image, a layer, or a junction of several paths (add, multiply, concat, join).

    number: its number in other requests. group: the block that contains it. inputs: numbers of its input nodes. shape:
    shape of its output; units, height, width: the same as units and positions. visible: its output for an image can be
    shown. receptive_field: side in pixels of the receptive field. arithmetic: how size and cost are computed.
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
    """The network as a graph, its nodes in order of execution, starting with the image."""

    layers: list[LayerBody]
    parameters: int
    multiply_adds: int


class LayerMaps(BaseModel):
    """The shown units of a layer, as tiles of the picture starting at number `first`. silent: number of units that are
    constant. peaks: the value farthest from zero for each shown unit. below_zero: red stands for positive and blue for
    negative values; else dark is zero.
    """

    layer: int
    units: list[int]
    total: int
    silent: int
    below_zero: bool
    first: int
    peaks: list[float]


class MapsBody(BaseModel):
    """Maps of an image. picture: square tiles of `side` pixels in rows of `columns`, each scaled by its largest
    value."""

    layers: list[LayerMaps]
    side: int
    columns: int
    tiles: int
    picture: str


class ViewBody(BaseModel):
    """Receptive fields, as (height, width) in pixels: that of unit i has `side` pixels from start + i * jump."""

    side: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[int, int]


class FeederBody(BaseModel):
    """An input of a unit. layer: its node, null if unknown. amount: its contribution to the unit at the strongest
    position, null if the layer is not a sum. weights: the filter applied to the input.
    """

    layer: int | None
    unit: int
    amount: float | None
    value: float | None
    weights: list[list[float]] | None


Box = tuple[int, int, int, int]


class UnitBody(BaseModel):
    """The map of a unit. place: row and column of the value farthest from zero, which is the activation. window: the
    receptive field there (top, left, bottom, right), which may extend beyond the image; looked_at: the box with 90 % of
    the gradient. feeders: the inputs with the largest amounts, of `inputs` in total; they, the rest and the bias add up
    to the activation if bias is not null.
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
    """A position in a training image that activates a unit. picture: the receptive field, `size` pixels of the image;
    looked_at: the box in it with 90 % of the gradient.
    """

    image: str
    label: str
    activation: float
    picture: str
    size: tuple[int, int]
    looked_at: Box


class PatchesBody(BaseModel):
    """The strongest positions, at most one per image. mean: the largest activation per image, on average. gated:
    squeeze-and-excitation before the layer makes the unit depend on the whole image too.
    """

    layer: int
    unit: int
    images: int
    mean: float
    gated: bool
    patches: list[PatchBody] = Field(max_length=64)
