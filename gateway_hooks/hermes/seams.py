"""Every place at which we take hold of Hermes, what it is needed for, and whether the installed Hermes has it.

A Hermes that we do not know, or one that lacks a seam, runs as if we were not there: half a handoff is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway_hooks.gateway import AdapterInfo, Finding
from gateway_hooks.hermes.internals import lookup, version

KNOWN = ("0.18.2", "0.19.0")
TELEGRAM_LIBRARY = ("22.6",)


@dataclass(frozen=True, slots=True)
class Seam:
    """One name of Hermes or of the Telegram library. ``since`` is the first known version that has it."""

    name: str
    why: str
    since: str = KNOWN[0]


def _of(owner: str, names: str, why: str, since: str = KNOWN[0]) -> tuple[Seam, ...]:
    return tuple(Seam(f"{owner}{name}", why, since) for name in names.split())


SEAMS: tuple[Seam, ...] = (
    *_of(
        "gateway.status:",
        "get_running_pid acquire_gateway_runtime_lock release_gateway_runtime_lock",
        "one gateway a home",
    ),
    *_of("gateway.status:", "write_pid_file remove_pid_file", "one gateway a home"),
    *_of("gateway.status:", "record_start_and_check_storm", "a green is no crash loop", "0.19.0"),
    *_of("gateway.status:", "write_runtime_status looks_like_gateway_runtime_command_line", "who is the gateway"),
    *_of("gateway.status:", "acquire_scoped_lock release_scoped_lock", "the lock of a bot's token"),
    *_of("gateway.run:", "_gateway_runner_ref merge_pending_message_event", "the runner, and what it merges"),
    *_of("gateway.run:GatewayRunner.", "_create_adapter _connect_adapter_with_timeout", "connect without dropping"),
    *_of(
        "gateway.run:GatewayRunner.",
        "_start_secondary_profile_adapters stop _safe_adapter_disconnect",
        "wait warm, leave",
    ),
    *_of("gateway.run:GatewayRunner.", "_handle_message _run_agent _promote_queued_event", "where turns begin"),
    *_of("gateway.run:GatewayRunner.", "_handle_active_session_busy_message _session_key_for_source", "busy chats"),
    *_of(
        "gateway.run:GatewayRunner.",
        "_interrupt_running_agents _interrupt_and_clear_session _evict_cached_agent",
        "interrupted and stale agents",
    ),
    *_of(
        "gateway.run:GatewayRunner.", "_schedule_resume_pending_sessions _suspend_stuck_loop_sessions", "one recoverer"
    ),
    *_of("gateway.run:GatewayRunner.", "_send_update_notification _send_restart_notification", "no notices"),
    *_of("gateway.run:GatewayRunner.", "_send_home_channel_startup_notifications", "no notices"),
    *_of("gateway.run:GatewayRunner.", "_session_expiry_watcher _kanban_notifier_watcher _handoff_watcher", "chores"),
    *_of("gateway.run:GatewayRunner.", "_kanban_dispatcher_watcher _platform_reconnect_watcher", "chores"),
    *_of(
        "gateway.run:GatewayRunner.", "_run_process_watcher _bounded_adapter_teardown", "background processes, the end"
    ),
    *_of("gateway.delivery_ledger:", "sweep_recoverable", "one recoverer", "0.19.0"),
    *_of("gateway.session:SessionStore.", "_save _ensure_loaded_locked _routing_scope clear_resume_pending", "routing"),
    *_of("gateway.session:SessionStore.", "suspend_recently_active _save_sessions_json", "routing, one recoverer"),
    *_of("gateway.session:", "SessionEntry.from_dict", "routing"),
    *_of("gateway.session:SessionStore.", "rewind_session", "a question that is asked again"),
    *_of("hermes_state:SessionDB.", "list_recent_user_messages", "a question that is asked again"),
    *_of(
        "hermes_state:SessionDB.", "replace_gateway_routing_entries save_gateway_routing_entry", "routing by difference"
    ),
    *_of(
        "hermes_state:SessionDB.",
        "load_gateway_routing_entries delete_gateway_routing_entries",
        "routing by difference",
    ),
    *_of("gateway.platforms.base:", "merge_pending_message_event", "which messages an event speaks for"),
    *_of(
        "gateway.platforms.base:BasePlatformAdapter.", "_process_message_background handle_message", "where turns begin"
    ),
    *_of("gateway.platforms.base:BasePlatformAdapter.", "_run_processing_hook _queue_text_debounce", "where turns end"),
    *_of("gateway.platforms.base:BasePlatformAdapter.", "_text_debounce_store _acquire_platform_lock", "queues, locks"),
    *_of("gateway.stream_consumer:GatewayStreamConsumer.", "run _send_commentary", "streamed replies, remarks"),
    *_of(
        "tools.process_registry:",
        "process_registry ProcessSession CHECKPOINT_PATH ProcessRegistry._write_checkpoint",
        "background processes",
    ),
    *_of("tools.process_registry:", "ProcessRegistry.recover_from_checkpoint", "one recoverer"),
    *_of("cron.scheduler_provider:", "InProcessCronScheduler.recover_interrupted", "one recoverer", "0.19.0"),
    *_of("cron.scheduler:", "tick", "scheduled jobs"),
    *_of("hermes_cli.plugins:", "get_plugin_command_handler", "the command /handoff"),
    *_of("telegram.ext._updater:Updater.", "_bootstrap start_polling stop", "begin and end of a poll"),
    *_of("telegram.ext:", "TypeHandler ApplicationHandlerStop", "the inbox"),
)
ADAPTERS = "plugins.platforms.telegram.adapter:TelegramAdapter"
ADAPTER: tuple[Seam, ...] = (
    *_of("", "send _send_path_degraded", "replies while polling has trouble"),
    *_of("", "_start_polling_resilient _start_post_connect_housekeeping _polling_heartbeat_loop", "begin of the poll"),
    *_of("", "_handle_polling_network_error _handle_polling_conflict", "the adapter's own recovery"),
    *_of("", "_enqueue_text_event _enqueue_photo_event _queue_media_group_event _text_batch_key", "batches"),
    *_of("", "_pending_text_batches _pending_photo_batches _media_group_events _pending_messages", "batches"),
)


def missing(seams: Iterable[Seam] = SEAMS, *, installed: str, find: Callable[[str], Any] = lookup) -> tuple[Seam, ...]:
    """Return the seams that this Hermes should have and does not."""
    return tuple(seam for seam in seams if _known(seam.since) <= _known(installed) and not _there(seam.name, find))


def findings(*, installed: str | None = None, find: Callable[[str], Any] = lookup) -> tuple[Finding, ...]:
    """What preflight and doctor say of the installed Hermes. The first one is an error when the plugin must stay out."""
    installed = version() if installed is None else installed
    if installed not in KNOWN:
        text = (
            f"hermes-agent {installed or 'is not installed'}: known are {', '.join(KNOWN)}; the plugin stays out of it"
        )
        return (Finding("hermes.version", "error", text),)
    lacks = missing(installed=installed, find=find)
    if lacks:
        names = "; ".join(f"{seam.name} ({seam.why})" for seam in lacks)
        return (Finding("hermes.seam", "error", f"hermes-agent {installed} lacks {names}; the plugin stays out of it"),)
    count = sum(_known(seam.since) <= _known(installed) for seam in SEAMS)
    found = [Finding("hermes.version", "ok", f"hermes-agent {installed} is known, all {count} seams are there")]
    library = version("python-telegram-bot")
    if library not in TELEGRAM_LIBRARY:
        text = f"python-telegram-bot {library}: tried with {', '.join(TELEGRAM_LIBRARY)} only"
        found.append(Finding("hermes.telegram_library", "warning", text))
    return tuple(found)


def adapter_findings(adapter: Any) -> tuple[Finding, ...]:
    """The same for a Telegram adapter as built."""
    lacks = [seam.name for seam in ADAPTER if not hasattr(adapter, seam.name)]
    if not lacks:
        return ()
    return (Finding("hermes.adapter_seam", "error", f"the Telegram adapter lacks {', '.join(lacks)}"),)


def way_findings(adapters: Iterable[AdapterInfo]) -> tuple[Finding, ...]:
    """Say which adapters change hands the slow way, and that their messages are not journaled."""
    return tuple(
        Finding(
            "hermes.way",
            "warning",
            f"{each.platform} disconnects and connects again in a handoff; its messages are not in the journal",
        )
        for each in adapters
        if each.way == "general"
    )


def _there(name: str, find: Callable[[str], Any]) -> bool:
    try:
        find(name)
    except (ImportError, AttributeError):
        return False
    return True


def _known(name: str) -> int:
    return KNOWN.index(name) if name in KNOWN else len(KNOWN)
