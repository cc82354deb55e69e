"""A HERMES_HOME for a real Hermes gateway that talks to the stand-ins and to nobody else.

What is set away from Hermes' defaults, and why:

- ``display.busy_input_mode: queue``. The default, ``interrupt``, aborts the running turn when its chat writes again, and
  says so in the chat; then nobody could tell a turn that a handoff broke from one that a follow-up broke.
- ``busy_ack_enabled``, progress and heartbeats are off, and a chat that nobody uses is the home channel, since without one
  every chat is first told that there is none: what stands in a chat is an answer, or something the judge must see.
- ``streaming`` off: one answer, one send. ``security.allow_lazy_installs`` off: no package is fetched in a turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway_hooks.demo.model import MODEL

Json = dict[str, Any]
HOME_CHAT = 99


def write_home(
    home: Path,
    *,
    bot_url: str,
    bot_file_url: str,
    model_url: str,
    token: str,
    users: Iterable[int],
    plugins: Iterable[str] = (),
    busy_input_mode: str = "queue",
    base: Mapping[str, str] | None = None,
    extra_config: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Write config.yaml and .env into `home` and return the environment for a gateway's process.

    Args:
        home: HERMES_HOME; made when missing, with a scratch HOME and the folder of token locks inside.
        bot_url: `BotApi.base_url`.
        bot_file_url: `BotApi.base_file_url`.
        model_url: `Model.base_url`.
        users: Who may write to the bot.
        plugins: Names for ``plugins.enabled``.
        base: The environment to start from; only PATH, LANG and the like should be in it.
        extra_config: Laid over the config, mapping by mapping.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("scratch", "locks"):
        (home / name).mkdir(exist_ok=True)
    config = laid_over(
        config_of(
            bot_url=bot_url,
            bot_file_url=bot_file_url,
            model_url=model_url,
            token=token,
            plugins=plugins,
            busy_input_mode=busy_input_mode,
        ),
        extra_config or {},
    )
    settings = {
        "TELEGRAM_BOT_TOKEN": token,
        "TELEGRAM_ALLOWED_USERS": ",".join(str(user) for user in users),
        "TELEGRAM_HOME_CHANNEL": str(HOME_CHAT),
        "HERMES_TELEGRAM_DISABLE_FALLBACK_IPS": "1",
    }
    (home / "config.yaml").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")  # JSON is YAML too
    (home / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    (home / ".env").chmod(0o600)
    return {
        **(base or {}),
        **settings,
        "HERMES_HOME": str(home),
        "HOME": str(home / "scratch"),
        "HERMES_GATEWAY_LOCK_DIR": str(home / "locks"),
        "HERMES_GATEWAY_MAX_STARTS": "0",
        "PYTHONUNBUFFERED": "1",
    }


def config_of(
    *, bot_url: str, bot_file_url: str, model_url: str, token: str, plugins: Iterable[str], busy_input_mode: str
) -> Json:
    """Return Hermes' config for the stand-ins."""
    quiet = {
        "streaming": False,
        "tool_progress": "off",
        "interim_assistant_messages": False,
        "long_running_notifications": False,
    }
    return {
        "model": {
            "provider": "custom",
            "base_url": model_url,
            "default": MODEL,
            "api_key": "loopback",
            "context_length": 131072,
        },
        "platforms": {
            "telegram": {
                "enabled": True,
                "token": token,
                "extra": {"base_url": bot_url, "base_file_url": bot_file_url},
            }
        },
        "plugins": {"enabled": list(plugins)},
        "display": {
            "busy_input_mode": busy_input_mode,
            "busy_ack_enabled": False,
            "platforms": {"telegram": quiet},
        },
        "streaming": {"enabled": False},
        "security": {"allow_lazy_installs": False},
        "auxiliary": {"title_generation": {"enabled": False}},
    }


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    """Return both mappings as one; what stands above wins, mappings are joined."""
    joined = dict(below)
    for name, value in above.items():
        under = joined.get(name)
        joined[name] = laid_over(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
    return joined
