"""Adapters that cannot stand warm: the old side disconnects them, the new one connects them as after an outage."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_hooks.hermes.hold import Hold, log

Pair = tuple[Any, Any]


class Others:
    """The adapters of a runner whose messages we do not journal. On the loop."""

    def __init__(self, runner: Any, hold: Hold) -> None:
        self._runner = runner
        self._hold = hold
        self._waiting: list[Pair] = []
        self._one_at_a_time = asyncio.Lock()

    def put_off(self, adapter: Any, platform: Any) -> None:
        """This one is to be connected when the adapters are ours."""
        self._waiting = [pair for pair in self._waiting if pair[1] != platform] + [(adapter, platform)]

    def waits(self, platform: Any) -> bool:
        """Whether the platform's adapter is not connected, whatever the runner has of it."""
        return any(platform == each for _, each in self._waiting)

    async def disconnect(self, ours: set[int]) -> None:
        """Disconnect all but those whose ``id`` is given."""
        for platform, adapter in list(self._runner.adapters.items()):
            if id(adapter) not in ours and all(adapter is not each for each, _ in self._waiting):
                await self._runner._safe_adapter_disconnect(adapter, platform)
                self.put_off(adapter, platform)

    async def replace(self, adapter: Any) -> None:
        """Have an adapter that cannot poll any more replaced: at once, or by Hermes' own watcher when the platform does not answer."""
        runner, platform = self._runner, adapter.platform
        failed = runner._failed_platforms.get(platform) or {}
        if failed.get("paused"):  # by an order of the operator, who takes it back
            return
        runner._failed_platforms.pop(platform, None)
        if runner.adapters.get(platform) is adapter:
            del runner.adapters[platform]
        self.put_off(adapter, platform)
        await runner._safe_adapter_disconnect(adapter, platform)
        await self.connect()

    async def connect(self) -> None:
        """Connect what waits. Hermes builds a new adapter for each connection; what fails is retried by its own watcher.

        A connection takes up to half a minute: what stands only when the adapters are another's is put away and waits again.
        """
        async with self._one_at_a_time:
            while self._waiting and self._hold.held:
                platform = self._waiting[0][1]
                adapter = await self._connected(platform)
                warm = adapter is not None and str(getattr(platform, "value", platform)) in self._hold.covered
                if self._hold.held or warm:  # who stands warm does not poll, and sends what turns in flight have to say
                    self._waiting = [pair for pair in self._waiting if pair[1] != platform]
                    self._install(platform, adapter)
                elif adapter is not None:
                    await self._runner._safe_adapter_disconnect(adapter, platform)

    async def _connected(self, platform: Any) -> Any:
        """A new adapter that is connected, or None."""
        runner, adapter = self._runner, None
        try:
            adapter = runner._create_adapter(platform, runner.config.platforms.get(platform))
            _equip(runner, adapter)
            if await runner._connect_adapter_with_timeout(adapter, platform, is_reconnect=True):
                return adapter
        except Exception as error:
            log.warning("%s could not connect and will be tried again: %s", platform, error)
        if adapter is not None:
            await runner._safe_adapter_disconnect(adapter, platform)
        return None

    def _install(self, platform: Any, adapter: Any) -> None:
        runner = self._runner
        if adapter is not None:
            runner.adapters[platform] = adapter
            runner.delivery_router.adapters = runner.adapters
        else:
            runner.adapters.pop(platform, None)
            settings = runner.config.platforms.get(platform)
            runner._failed_platforms[platform] = {"config": settings, "attempts": 0, "next_retry": 0.0}


def _equip(runner: Any, adapter: Any) -> None:
    """What ``GatewayRunner.start`` gives to an adapter before it connects."""
    adapter.set_message_handler(runner._handle_message)
    adapter.set_fatal_error_handler(runner._handle_adapter_fatal_error)
    adapter.set_session_store(runner.session_store)
    adapter.set_busy_session_handler(runner._handle_active_session_busy_message)
    adapter.set_topic_recovery_fn(runner._recover_telegram_topic_thread_id)
    adapter.set_authorization_check(runner._make_adapter_auth_check(adapter.platform))
    adapter._busy_text_mode = runner._busy_text_mode
