"""Adapters that cannot stand warm: the old side disconnects them, the new one connects them as after an outage."""

from __future__ import annotations

from typing import Any

from gateway_hooks.hermes.hold import log

Pair = tuple[Any, Any]


class Others:
    """The adapters of a runner whose messages we do not journal. On the loop."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._waiting: list[Pair] = []

    def put_off(self, adapter: Any, platform: Any) -> None:
        """This one is to be connected when the adapters are ours."""
        self._waiting.append((adapter, platform))

    async def disconnect(self, ours: set[int]) -> None:
        """Disconnect all but those whose ``id`` is given."""
        for platform, adapter in list(self._runner.adapters.items()):
            if id(adapter) not in ours and all(adapter is not each for each, _ in self._waiting):
                await self._runner._safe_adapter_disconnect(adapter, platform)
                self.put_off(adapter, platform)

    async def connect(self) -> None:
        """Connect what waits. Hermes builds a new adapter for each connection; what fails is retried by its own watcher."""
        runner = self._runner
        waiting, self._waiting = self._waiting, []
        for _, platform in waiting:
            settings = runner.config.platforms.get(platform)
            adapter, connected = None, False
            try:
                adapter = runner._create_adapter(platform, settings)
                _equip(runner, adapter)
                connected = await runner._connect_adapter_with_timeout(adapter, platform, is_reconnect=True)
            except Exception as error:
                log.warning("%s could not connect and will be tried again: %s", platform, error)
            if connected:
                runner.adapters[platform] = adapter
                runner.delivery_router.adapters = runner.adapters
            else:
                runner.adapters.pop(platform, None)
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
