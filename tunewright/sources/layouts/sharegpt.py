"""Chats as ShareGPT writes them: turns with `from` and `value`, a `system` and a `tools` column beside them.

{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}], "system": "Be kind."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from tunewright.sources import chat
from tunewright.sources.layouts.messages import Messages

_TAGS = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


class ShareGpt(Messages):
    """A chat as a list of {from, value}; the tags are those of LLaMA-Factory."""

    usual: ClassVar[Mapping[str, tuple[str, ...]]] = {**Messages.usual, "messages": ("conversations", "conversation", "messages", "dialog")}

    role_key: str = Field("from", description="key of a turn that says who speaks")
    content_key: str = Field("value", description="key of a turn that holds what is said")
    user_tag: str = Field("human", description="who speaks for the user")
    assistant_tag: str = Field("gpt", description="who speaks for the model")
    observation_tag: str = Field("observation", description="who speaks for a tool")
    function_tag: str = Field("function_call", description="who calls a tool")
    system_tag: str = Field("system", description="who gives the frame")

    def read(self, value: str | None) -> list[chat.Message]:
        roles = chat.ROLES | {getattr(self, tag): role for tag, role in _TAGS.items()}
        return chat.messages_of(chat.parse(value), self.role_key, self.content_key, roles)
