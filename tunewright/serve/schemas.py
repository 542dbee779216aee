"""The bodies of requests, as OpenAI's API has them where it has them.

A key that would change the answer and is not supported is refused, not ignored; one that changes nothing (`metadata`, `store`,
or any key at its neutral value, such as `top_k: -1`) is taken and dropped.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

ANY = object()  # a key whose every value changes nothing
MOST_PROMPTS = 128  # prompts times answers in one request
MOST_TEXTS = 256  # texts in one request for labels
Logprobs = Annotated[int, Field(ge=0, le=20)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=300)]


class Schema(BaseModel):
    """Strict: no unknown keys, no conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    neutral: ClassVar[dict[str, Any]] = {}  # keys that are not ours: the values that change nothing

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        for key in given.keys() & cls.neutral.keys():
            allowed = cls.neutral[key]
            if allowed is not ANY and not any(given[key] == one and type(given[key]) is type(one) for one in (None, *allowed)):
                shown = ", ".join(map(repr, allowed))
                raise ValueError(f"{key} is not supported here{f' (only {shown}, which changes nothing)' if allowed else ''}")
        return {key: value for key, value in given.items() if key not in cls.neutral}


class StreamOptions(Schema):
    """What a stream tells besides the answer."""

    include_usage: bool | None = Field(None, description="a last chunk with the usage")
    include_obfuscation: bool | None = Field(None, description="accepted; nothing is padded here")


class TextPart(Schema):
    """A piece of a message. Only text: nothing is ever fetched for a caller."""

    type: Literal["text"]
    text: str


class FunctionCall(Schema):
    name: str = Field(max_length=200)
    arguments: str


class ToolCall(Schema):
    """A call that the model made in an earlier turn."""

    id: str = Field(max_length=200)
    type: Literal["function"]
    function: FunctionCall


class Message(Schema):
    """One turn of a chat."""

    neutral = {"refusal": (), "audio": (), "function_call": (), "annotations": ANY}
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=1000)] | None = None
    name: str | None = Field(None, max_length=200)
    tool_calls: list[ToolCall] | None = Field(None, max_length=128)
    tool_call_id: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _says_something(self) -> Message:
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("content is required (only an assistant's turn with tool_calls may do without)")
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a turn of role tool needs its tool_call_id")
        return self

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""

    def plain(self) -> dict[str, Any]:
        """For the chat template."""
        told: dict[str, Any] = {"role": "system" if self.role == "developer" else self.role, "content": self.text}
        if self.name is not None:
            told["name"] = self.name
        if self.tool_calls:
            told["tool_calls"] = [one.model_dump() for one in self.tool_calls]
        if self.tool_call_id is not None:
            told["tool_call_id"] = self.tool_call_id
        return told


class Function(Schema):
    neutral = {"strict": (False,)}
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Schema):
    """A function that the model may be told of, through the chat template."""

    type: Literal["function"]
    function: Function


class FunctionName(Schema):
    name: str = Field(min_length=1, max_length=64)


class ToolChoice(Schema):
    """The tool that has to be called."""

    type: Literal["function"]
    function: FunctionName


class JsonSchema(Schema):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)
    neutral = {"strict": (True, False), "description": ANY}
    name: str = Field(min_length=1, max_length=64)
    schema_: dict[str, Any] = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _refers_only_to_itself(cls, schema: dict[str, Any]) -> dict[str, Any]:
        left: list[Any] = [schema]
        while left:
            one = left.pop()
            if isinstance(one, dict):
                ref = one.get("$ref", one.get("$dynamicRef", "#"))
                if isinstance(ref, str) and not ref.startswith("#"):
                    raise ValueError("a $ref must begin with '#': nothing is fetched from elsewhere")
                left += one.values()
            elif isinstance(one, list):
                left += one
        return schema


class ResponseFormat(Schema):
    """text, any JSON object, or JSON that obeys a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _fits(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with type json_schema, and only with it")
        return self

    @property
    def schema_dict(self) -> dict[str, Any] | None:
        if self.type == "text":
            return None
        return self.json_schema.schema_ if self.json_schema is not None else {}


class Generation(Schema):
    """What chats and completions have in common."""

    neutral = {
        "metadata": ANY,
        "store": ANY,
        "safety_identifier": ANY,
        "prompt_cache_key": ANY,
        "prompt_cache_retention": ANY,
        "prediction": ANY,
        "service_tier": ("auto", "default"),
        "logit_bias": ({},),
        "top_k": (-1, 0),
        "min_p": (0, 0.0),
        "repetition_penalty": (1, 1.0),
        "length_penalty": (1, 1.0),
        "use_beam_search": (False,),
        "ignore_eos": (False,),
        "skip_special_tokens": (True,),
        "spaces_between_special_tokens": (True,),
    }
    model: Name = Field(description="a name that /v1/models lists")
    max_tokens: int | None = Field(None, ge=0, le=2**31 - 1, description="at most; the server has a limit of its own")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, description="0 takes the likeliest token; 1 by default")
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    n: int | None = Field(None, ge=1, le=MOST_PROMPTS, description="answers to each prompt")
    stop: str | Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=16)] | None = None
    seed: Int64 | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, max_length=200, description="who asks: makes a caller stick to a side")

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> Generation:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        if isinstance(self.stop, str):
            return (self.stop,) if self.stop else ()
        return tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatBody(Generation):
    """POST /v1/chat/completions."""

    neutral = Generation.neutral | {
        "functions": ([],),
        "function_call": ("none",),
        "parallel_tool_calls": (True,),
        "reasoning_effort": (),
        "verbosity": (),
        "modalities": (["text"],),
        "audio": (),
        "web_search_options": (),
        "add_generation_prompt": (True,),
        "continue_final_message": (False,),
    }
    messages: list[Message] = Field(min_length=1, max_length=2000)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31 - 1, description="the newer name of max_tokens")
    logprobs: bool | None = None
    top_logprobs: Logprobs | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = Field(
        None, description="none hides the tools from the model; required, or a tool by name, makes it call one"
    )
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> ChatBody:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.max_tokens == 0:
            raise ValueError("max_tokens must be 1 or more")
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens are two names of one thing, and differ")
        names = [one.function.name for one in self.tools or []]
        if len(set(names)) < len(names):
            raise ValueError("tools must have different names")
        if self.tool_choice not in (None, "auto", "none") and not set(self.required) & set(names):
            raise ValueError("tool_choice names a tool that is not in tools" if names else "tool_choice needs tools")
        if self.required and self.response_format is not None and self.response_format.type != "text":
            raise ValueError("response_format and a tool that has to be called cannot both be kept")
        return self

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the tools of which one has to be called."""
        if isinstance(self.tool_choice, ToolChoice):
            return (self.tool_choice.function.name,)
        return tuple(one.function.name for one in self.tools or []) if self.tool_choice == "required" else ()


class CompletionBody(Generation):
    """POST /v1/completions."""

    neutral = Generation.neutral | {"suffix": ("",), "best_of": (1,), "add_special_tokens": ()}
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]], Field(min_length=1, max_length=MOST_PROMPTS)]
    ) = Field(description="a text, token ids, or several of either")
    echo: bool | None = Field(None, description="the prompt comes first, with log-probabilities if asked for")
    logprobs: Logprobs | None = None

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [tuple(self.prompt)]
        return [one if isinstance(one, str) else tuple(one) for one in self.prompt]


class ClassifyBody(Schema):
    """POST /v1/classify."""

    model: Name
    input: str | Annotated[list[str], Field(min_length=1, max_length=MOST_TEXTS)] = Field(description="a text, or several")
    user: str | None = Field(None, max_length=200)

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class ExplainBody(Schema):
    """POST /v1/explain."""

    model: Name
    input: str = Field(min_length=1)
    most_words: int = Field(16, ge=2, le=64, description="longer texts are cut into this many groups of words")
    user: str | None = Field(None, max_length=200)


class FeedbackBody(Schema):
    """POST /v1/feedback: at least one of thumb, answer and label."""

    request_id: str = Field(pattern=r"^(chatcmpl|cmpl|cls|expl)-[0-9a-f]{24}(-[0-9]{1,4})?$", description="the id of the answer")
    thumb: Literal["up", "down"] | None = None
    answer: str | None = Field(None, min_length=1, max_length=100_000, description="what would have been right")
    label: str | None = Field(None, min_length=1, max_length=500, description="the right label")
    by: str = Field("user", min_length=1, max_length=200)
    event_time: Annotated[AwareDatetime, Field(strict=False)] | None = Field(
        None, description="when the truth came about, with its offset from UTC"
    )
    sampled: Literal["uniform", "targeted", "volunteered"] = Field(
        "volunteered", description="uniform: from requests drawn at random, the only ones that may estimate accuracy"
    )
    note: str | None = Field(None, max_length=10_000)

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackBody:
        if self.thumb is None and self.answer is None and self.label is None:
            raise ValueError("one of thumb, answer and label is needed")
        return self
