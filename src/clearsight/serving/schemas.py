"""What requests may hold and answers do hold, as OpenAPI tells it."""

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
    task: str
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


class ModelCard(BaseModel):
    """The model in service. task: its name, such as classification. classes: names of what is predicted. answer: what
    else there is to know to read predictions, such as thresholds; null for classes. studio: the view of predictions in
    the studio. sounds: it learned from WAV files. methods: those `explain` takes. search: whether it has an index.
    left_out: what this model or its folder does not have, each with the reason and what would bring it: search, attack,
    network, patches, report, card. unsuited: those that no model of this task has. accepts: limits of a request.
    """

    name: str
    task: str
    classes: list[str]
    answer: dict[str, Any] | None
    studio: str
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
    unsuited: list[str]
    accepts: dict[str, float]


class Health(BaseModel):
    """ready: the engine is warm, requests are answered."""

    status: str
