"""A claw runtime: Hermes' own agent, which says that it is another."""

from __future__ import annotations

from typing import Any

from run_agent import AIAgent as Usual  # type: ignore[import-not-found]


class AIAgent(Usual):  # type: ignore[misc]
    """Answers as the usual one does, with a word before it."""

    def run_conversation(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = super().run_conversation(*arguments, **options)
        if result.get("final_response"):
            result["final_response"] = f"claw: {result['final_response']}"
        return result
