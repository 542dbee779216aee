"""The shapes of answers, for the OpenAPI description and the tests that hold answers against it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Reply):
    message: str
    type: Literal["invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"]
    param: str | None
    code: str | None


class ErrorAnswer(Reply):
    """Every error has this shape."""

    error: ErrorDetail


class PromptDetails(Reply):
    cached_tokens: int = Field(description="of the prompt, from the prefix cache")


class UsageAnswer(Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class FunctionCallReply(Reply):
    name: str
    arguments: str = Field(description="JSON")


class ToolCallReply(Reply):
    """The model wants a tool to be called."""

    id: str
    type: Literal["function"]
    function: FunctionCallReply


class ChatMessage(Reply):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCallReply] = Field([], description="left out when there are none")


class TokenOption(Reply):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TokenOption):
    top_logprobs: list[TokenOption]


class ChatLogprobs(Reply):
    content: list[TokenLogprob]
    refusal: None


class ChatChoice(Reply):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatAnswer(Reply):
    """chat.completion, as in OpenAI's API. With `stream: true` the same in pieces, as server-sent events."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageAnswer
    system_fingerprint: str


class CompletionLogprobs(Reply):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(Reply):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(Reply):
    """text_completion, as in OpenAI's API."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageAnswer
    system_fingerprint: str


class LabelVerdict(Reply):
    """The answer to one text. `id` is what feedback names."""

    index: int
    id: str
    answer: str
    confidence: float
    probabilities: dict[str, float]
    truncated: bool = Field(description="the text was cut to fit the model")


class ClassifyAnswer(Reply):
    id: str
    object: Literal["classification"]
    created: int
    model: str
    version: str
    calibrated: bool = Field(description="whether the release has a temperature fitted on validation rows")
    data: list[LabelVerdict]
    usage: UsageAnswer


class WordWeight(Reply):
    word: str
    weight: float = Field(description="what the answer's log-odds lose without the word")


class ExplainAnswer(Reply):
    id: str
    object: Literal["explanation"]
    created: int
    model: str
    version: str
    answer: str
    confidence: float
    probabilities: dict[str, float]
    sentence: str
    words: list[WordWeight]
    strongest: list[str]
    usage: UsageAnswer


class FeedbackAnswer(Reply):
    object: Literal["feedback"]
    request_id: str
    accepted: list[Literal["thumb", "answer", "label"]]


class ModelCard(Reply):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    version: str | None = Field(description="what answers under this name now")
    loaded: bool


class ModelList(Reply):
    object: Literal["list"]
    data: list[ModelCard]


class State(BaseModel):
    """Of /health and /ready."""

    model_config = ConfigDict(extra="allow")
    status: str


SCHEMAS: tuple[type[BaseModel], ...] = (
    ErrorAnswer,
    ChatAnswer,
    CompletionAnswer,
    ClassifyAnswer,
    ExplainAnswer,
    FeedbackAnswer,
    ModelCard,
    ModelList,
    State,
)
