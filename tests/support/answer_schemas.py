"""Schemas of structured answers for tests."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Mood(Enum):
    CALM = "calm"
    CHEERFUL = "cheerful"


class Author(BaseModel):
    name: str
    age: Annotated[int, Field(ge=18, le=120)]


class Review(BaseModel):
    title: str
    mood: Mood
    kind: Literal["review"]
    score: Annotated[float, Field(gt=2, lt=5)]
    is_public: bool
    author: Author
    tags: Annotated[list[str], Field(min_length=2)]
    note: str | None
