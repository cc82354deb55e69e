"""Hermes' home channel as a place for notices: sent and edited by its own adapter, outside of any turn."""

from __future__ import annotations

from typing import Any

from gateway_hooks.gateway import GatewayFault
from gateway_hooks.hermes.hold import Hold
from gateway_hooks.hermes.hop import Hop
from gateway_hooks.hermes.internals import module
from gateway_hooks.hermes.telegram import PLATFORM
from gateway_hooks.notices import Posted

WITHIN_S = 30.0


class HomeChannel:
    """The first home channel of an adapter that can edit what it has sent, Telegram before others."""

    def __init__(self, hold: Hold, hop: Hop) -> None:
        self._hold, self._hop = hold, hop
        self.runner: Any = None

    def mine(self) -> bool:
        return self._hold.starting and self.runner is not None

    def post(self, text: str) -> Posted | None:
        return self._hop.wait_for(self._post(text), WITHIN_S)

    def edit(self, posted: Posted, text: str) -> None:
        self._hop.wait_for(self._edit(posted, text), WITHIN_S)

    async def _post(self, text: str) -> Posted | None:
        for name, platform, adapter in self._adapters():
            home = self.runner.config.get_home_channel(platform)
            wanted = getattr(self.runner.config.platforms.get(platform), "gateway_restart_notification", True)
            if home is None or not home.chat_id or not wanted:
                continue
            where = self.runner._thread_metadata_for_target(platform, home.chat_id, home.thread_id, adapter=adapter)
            options = {"metadata": where} if where else {}
            sent = await adapter.send(str(home.chat_id), text, **options)
            if not sent.success:
                raise GatewayFault(f"{name} did not take it: {sent.error}")
            return Posted(name, str(home.chat_id), str(sent.message_id)) if sent.message_id else None
        return None

    async def _edit(self, posted: Posted, text: str) -> None:
        adapter = next((adapter for name, _, adapter in self._adapters() if name == posted.platform), None)
        if adapter is None:
            raise GatewayFault(f"there is no adapter of {posted.platform}")
        done = await adapter.edit_message(posted.chat, posted.message, text, finalize=True)
        if not done.success:
            raise GatewayFault(f"{posted.platform} did not take it: {done.error}")

    def _adapters(self) -> list[tuple[str, Any, Any]]:
        """Name, platform and adapter of those that can edit."""
        base = module("gateway.platforms.base").BasePlatformAdapter.edit_message
        found = [
            (str(getattr(platform, "value", platform)), platform, adapter)
            for platform, adapter in self.runner.adapters.items()
            if type(adapter).edit_message is not base
        ]
        return sorted(found, key=lambda each: each[0] != PLATFORM)
