"""What requests may hold and answers do hold, as OpenAPI tells it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"}, min_length=1)]


class ImagesBody(BaseModel):
    """Images as base64, with or without `data:image/png;base64,` before it."""

    model_config = ConfigDict(extra="forbid")
    images: list[Base64] = Field(min_length=1)


class Answer(BaseModel):
    """The answer for one image.

    probabilities: class to calibrated belief, likeliest first. doubt: their entropy, 0 = sure, 1 = no idea. set:
    classes that together hold the true one with the coverage asked for. strangeness: the share of known images that
    look less strange. none_of_these: unlike all the model learned from. These three are null for a model that does not
    know its limits. picture: a PNG data URI of the image as the network sees it, where asked for.
    """

    image: str
    label: str
    probability: float = Field(ge=0, le=1)
    doubt: float
    probabilities: dict[str, float]
    set: list[str] | None
    strangeness: float | None
    none_of_these: bool | None
    picture: str | None = None


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
    chance.
    """

    score: float
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float


class ExplanationBody(BaseModel):
    """A heatmap. picture: a PNG data URI of the image in gray under the map's colours. below, above: the image as the
    network sees it, and the map in colours as opaque as it is strong, to lay over it, where asked for. signed: places
    may speak against the class. heat: rows of the map, where asked for; shape: its height and width. verdict: what says
    whether to believe it, in words.
    """

    image: str
    method: str
    target: str
    belief: float
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
    """An indexed image. likeness: cosine of the embeddings. label: "" where it has none. picture: a PNG data URI of it,
    where asked for and the image is still there.
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
    """The model in service. methods: those `explain` takes. search: whether it has an index. left_out: what this model
    or its folder does not have, each with the reason and what would bring it: search, attack, network, patches, report,
    card. accepts: limits of a request.
    """

    name: str
    classes: list[str]
    network: str
    input: dict[str, Any]
    temperature: float
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
