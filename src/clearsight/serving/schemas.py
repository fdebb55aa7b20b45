"""What requests may hold and answers do hold, as OpenAPI tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"}, min_length=1)]


class ImagesBody(BaseModel):
    """Images as base64, with or without `data:image/png;base64,` before it."""

    model_config = ConfigDict(extra="forbid")
    images: list[Base64] = Field(min_length=1)


class ClassAnswer(BaseModel):
    """The answer for one image of a model of classes.

    probabilities: class to calibrated belief, likeliest first. doubt: their entropy, 0 = sure, 1 = no idea. set:
    classes that together hold the true one with the coverage asked for. strangeness: the share of known images that
    look less strange. none_of_these: unlike all the model learned from. These three are null for a model that does not
    know its limits. picture: a PNG data URI of the image as the network sees it, where asked for.
    """

    task: Literal["classification"]
    image: str
    label: str
    probability: float = Field(ge=0, le=1)
    doubt: float
    probabilities: dict[str, float]
    set: list[str] | None
    strangeness: float | None
    none_of_these: bool | None
    picture: str | None = None


class LabelsAnswer(BaseModel):
    """The answer for one image of a model of labels, each a question of its own.

    labels: those given, likeliest first. probabilities: label to calibrated belief, likeliest first; they do not sum to
    1, and a label is given where its belief reaches its threshold (`GET /v1/model`). doubt: the mean over labels of the
    entropy of each, 0 = sure, 1 = no idea. The others as for classes.
    """

    task: Literal["multilabel"]
    image: str
    labels: list[str]
    probabilities: dict[str, float]
    doubt: float
    strangeness: float | None
    none_of_these: bool | None
    picture: str | None = None


class NumbersAnswer(BaseModel):
    """The answer for one image of a model of numbers.

    values: of every number, in the unit of the training data. intervals: of every number, low and high, which hold the
    truth with the coverage asked for; null for an end that cannot be promised; for angles low may lie beyond high,
    across the turn. A direction has none, and within says by how many degrees it may be off. The others as for classes.
    """

    task: Literal["regression"]
    image: str
    values: dict[str, float]
    intervals: dict[str, tuple[float | None, float | None]] | None
    within: float | None
    strangeness: float | None
    none_of_these: bool | None
    picture: str | None = None


class AnomalyAnswer(BaseModel):
    """The answer for one image of a detector of anomalies.

    anomaly: p_value is at most the share of false alarms (`GET /v1/model`). p_value: of normal images, the share that
    look at least so strange. probability: of an anomaly, if the share `prior` of all images are anomalies. score: the
    detector's own, larger for stranger. picture as for classes.
    """

    task: Literal["anomaly"]
    image: str
    anomaly: bool
    probability: float = Field(ge=0, le=1)
    p_value: float = Field(gt=0, le=1)
    score: float
    picture: str | None = None


Answer = Annotated[ClassAnswer | LabelsAnswer | NumbersAnswer | AnomalyAnswer, Field(discriminator="task")]


class Unreadable(BaseModel):
    """An image that cannot be read, among others that can."""

    model_config = ConfigDict(extra="forbid")
    image: str
    error: str


class Predictions(BaseModel):
    """One entry per image, in the order they were sent."""

    predictions: list[Answer | Unreadable]


class FaithfulnessBody(BaseModel):
    """Areas under the curves of belief as places are taken away and put back; score at or below 0: no more than
    chance; verdict: which it is, in words.
    """

    verdict: str
    score: float
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float


class ExplanationBody(BaseModel):
    """A heatmap. target: the class, label or number that places speak for, or "anomaly". opposite: of two classes the
    other, else "". belief: in the target, null for a number; value: the number, null for the others; faithfulness is
    in beliefs, or in the number's spread, and never measured for anomalies. strongest: the value of the map farthest
    from 0, of anomaly-map in deviations. picture: a PNG data URI of the image in gray under the map's colours. below,
    above: the image as the network sees it, and the map in colours as opaque as it is strong, to lay over it, where
    asked for. signed: places may speak against the target. heat: rows of the map, where asked for; shape: its height
    and width. verdict: what says whether to believe it, in words.
    """

    image: str
    method: str
    task: Literal["classification", "multilabel", "regression", "anomaly"]
    target: str
    opposite: str
    belief: float | None
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


class LabelsCard(BaseModel):
    """Labels of a model. thresholds: the belief from which each is given."""

    task: Literal["multilabel"]
    thresholds: dict[str, float]


class NumbersCard(BaseModel):
    """Numbers of a model. kind: number, angle or direction. unit: of angles. low, high: the range that plain numbers
    are kept in, null where there is none. ends: the lowest and highest of each in training, null where not known.
    """

    task: Literal["regression"]
    kind: Literal["number", "angle", "direction"]
    unit: str
    low: float | None
    high: float | None
    ends: dict[str, tuple[float, float]] | None


class AnomalyCard(BaseModel):
    """What a detector calls anomalies. normal: the classes it learned from. false_alarms: the share of normal images
    that is called so. held_out: normal images that say what a score means; no p-value lies below 1 / (held_out + 1).
    threshold: the score above which an image is called an anomaly. prior: the share of all images that is taken to be
    anomalies.
    """

    task: Literal["anomaly"]
    normal: list[str]
    false_alarms: float
    held_out: int
    threshold: float | None
    prior: float


class ModelCard(BaseModel):
    """The model in service. task: classification, multilabel, regression or anomaly. classes: names of the classes,
    labels or numbers. answer: what there is to know of labels, numbers or anomalies, null for classes. sounds: it
    learned from WAV files. methods: those `explain` takes. search: whether it has an index. left_out: what this model
    or its folder does not have, each with the reason and what would bring it: search, attack, network, patches, report,
    card. accepts: limits of a request.
    """

    name: str
    task: Literal["classification", "multilabel", "regression", "anomaly"]
    classes: list[str]
    answer: Annotated[LabelsCard | NumbersCard | AnomalyCard, Field(discriminator="task")] | None
    network: str
    input: dict[str, Any]
    temperature: float
    sounds: bool
    images: int | None
    limits: dict[str, Any] | None
    scores: dict[str, Any]
    versions: dict[str, str]
    engine: str
    methods: list[str]
    search: bool
    left_out: dict[str, str]
    accepts: dict[str, float]


class Health(BaseModel):
    """ready: the engine is warm, requests are answered."""

    status: str
