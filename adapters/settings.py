"""The settings: environment variables, each with its default and one sentence of documentation."""

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters import setting_values as v
from adapters.embedded import folder
from adapters.embedded.stack import find_stack
from adapters.vault import MasterKeyError, MasterKeys


class SettingError(Exception):
    """A setting cannot be used; the message names it and says what is expected."""


class Setting(msgspec.Struct, frozen=True):
    """One environment variable.

    Attributes:
        default: as it would be written in the environment.
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    doc: str

    @property
    def field(self) -> str:
        """The member of `Settings` that it fills: its name without `LOOP_`, in lower case."""
        return self.name.removeprefix("LOOP_").lower()


SETTINGS: Final = (
    Setting("LOOP_HOME", "./.loop", Path, "Data folder of the embedded servers."),
    Setting("LOOP_HOST", "127.0.0.1", str, "Address that `loop serve` listens on."),
    Setting("LOOP_PORT", "3000", v.port, "Port that `loop serve` listens on."),
    Setting(
        "LOOP_PUBLIC_URL",
        "",
        v.url("http", "https"),
        "Under which merchants and customers reach Loop; by default host and port.",
    ),
    Setting(
        "LOOP_DATABASE_URL",
        "",
        v.url("postgresql", "postgres"),
        "An external PostgreSQL; by default the embedded one of the running `loop up`.",
    ),
    Setting(
        "LOOP_NATS_URL",
        "",
        v.url("nats", "tls"),
        "An external NATS server; by default the embedded one of the running `loop up`.",
    ),
    Setting(
        "LOOP_MASTER_KEYS",
        "",
        str,
        "Keys that wrap all others, `id:64 hex digits`, newest first, comma separated; "
        "by default one made in the data folder.",
    ),
    Setting(
        "LOOP_WITNESS",
        "",
        v.witness,
        "Where every signed checkpoint goes, out of our power: a file that it is appended to, or "
        "an http(s) URL that it is POSTed to.",
    ),
    Setting(
        "LOOP_LEASE_S",
        "90",
        v.seconds,
        "For how long a worker may hold a due step before another takes it, in seconds.",
    ),
    Setting(
        "LOOP_CALL_LIMIT_S",
        "30",
        v.seconds,
        "Longest call of a processor, in seconds; below the lease.",
    ),
    Setting(
        "LOOP_SAGA_SLOTS", "32", v.count, "How many steps one worker works on at the same time."
    ),
    Setting(
        "LOOP_CIRCUIT_FAILURES",
        "20",
        v.count,
        "How many calls of one processor account have to go wrong within a minute, and be half of "
        "all, before new attempts avoid it.",
    ),
    Setting(
        "LOOP_RECONCILE_S",
        "300",
        v.seconds,
        "How often what the processors have is listed and compared with the log, in seconds.",
    ),
    Setting(
        "LOOP_SANDBOX_LATENCY_S",
        "0.02",
        v.seconds,
        "How long the in-process sandbox takes before and after each effect, in seconds.",
    ),
    Setting(
        "LOOP_STRIPE_BASE_URL",
        "https://api.stripe.com",
        v.url("http", "https"),
        "Stripe's API, or a sandbox; another address gets no live key.",
    ),
    Setting(
        "LOOP_RAZORPAY_BASE_URL",
        "https://api.razorpay.com",
        v.url("http", "https"),
        "Razorpay's API, or a sandbox; another address gets no live key.",
    ),
    Setting(
        "LOOP_RATE_LIMIT_KEY",
        "500",
        v.limit,
        "Requests a second of one API key or session; 0 is no limit.",
    ),
    Setting(
        "LOOP_RATE_LIMIT_ADDRESS",
        "100",
        v.limit,
        "Requests a second of one address without credentials; 0 is no limit.",
    ),
    Setting(
        "LOOP_RATE_LIMIT_LOGIN",
        "10",
        v.limit,
        "Failed log-ins a minute of one account, after twice as many at once; 0 is no limit.",
    ),
    Setting(
        "LOOP_TRUSTED_PROXIES",
        "",
        v.networks,
        "Networks of proxies whose `X-Forwarded-For` is believed, comma separated.",
    ),
    Setting(
        "LOOP_CORS_ORIGINS",
        "",
        v.origins,
        "Origins whose pages may call the API from a browser, comma separated, or `*`.",
    ),
    Setting(
        "LOOP_METRICS_LISTEN",
        "",
        v.address,
        "Where `loop work` answers `/metrics`, `host:port`; empty is nowhere. Under `loop up` the "
        "gateway's `/metrics` answers for all processes.",
    ),
    Setting(
        "LOOP_TRACE_RATIO",
        "0.01",
        v.ratio,
        "Share of requests that are traced, unless the caller decides.",
    ),
    Setting(
        "LOOP_TRACE_FILE",
        "",
        Path,
        "File that finished spans are appended to as JSON lines; empty writes none.",
    ),
    Setting(
        "LOOP_WEBHOOK_ALLOW_CIDRS",
        "",
        v.networks,
        "Networks that webhooks may be sent to although they are not public, comma separated; "
        "`loop up` allows loopback.",
    ),
    Setting(
        "LOOP_WEBHOOK_LOG_DAYS",
        "30",
        v.log_days,
        "How long the delivery log keeps what was delivered, in days, at least 30; what is dead is "
        "kept three times as long, what is to be sent until it is.",
    ),
    Setting("LOOP_LOG_LEVEL", "info", str, "debug, info, warning or error."),
)
_EMPTY: Final[dict[Any, Any]] = {Path: None, v.networks: (), v.origins: ()}
"""What an empty text means, where it is not an empty text."""
_LEVELS: Final = {"debug", "info", "warning", "error"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, resolved; the `repr` shows no secrets."""

    home: Path
    host: str
    port: int
    public_url: str
    database_url: str
    nats_url: str
    master_keys: str
    witness: str
    lease_s: float
    call_limit_s: float
    saga_slots: int
    circuit_failures: int
    reconcile_s: float
    sandbox_latency_s: float
    stripe_base_url: str
    razorpay_base_url: str
    rate_limit_key: int
    rate_limit_address: int
    rate_limit_login: int
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    cors_origins: tuple[str, ...]
    metrics_listen: str
    trace_ratio: float
    trace_file: Path | None
    webhook_allow_cidrs: tuple[IPv4Network | IPv6Network, ...]
    webhook_log_days: int
    log_level: str

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, host={self.host!r}, port={self.port}, …)"

    @property
    def sandbox_books(self) -> Path:
        """Return the file that the in-process sandbox keeps its own books in."""
        return self.home / "sandbox" / "books.sqlite3"

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process use these settings."""
        values = {s.name: getattr(self, s.field) for s in SETTINGS}
        return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def load_settings(environ: Mapping[str, str] | None = None, **overrides: str | None) -> Settings:
    """Read the settings: an override by field name, else the environment, else the default.

    Where nothing names a database or NATS, those of the `loop up` that runs over the data folder
    are taken, and its sandbox where nothing says where Stripe and Razorpay are.

    Raises:
        SettingError: a value is not what is expected, or nothing says where the servers are.
    """
    values = _parsed(os.environ if environ is None else environ, overrides)
    if values["log_level"] not in _LEVELS:
        raise SettingError("LOOP_LOG_LEVEL must be debug, info, warning or error")
    if values["call_limit_s"] >= values["lease_s"]:
        raise SettingError("LOOP_CALL_LIMIT_S must be below LOOP_LEASE_S")
    values |= _sandbox_of(values["home"], os.environ if environ is None else environ, overrides)
    external = bool(values["database_url"])
    if not (values["database_url"] and values["nats_url"]):
        stack = find_stack(values["home"])
        if stack is None:
            raise SettingError(
                f"no `loop up` runs over {values['home']}: start one, give its folder with --data "
                "or LOOP_HOME, or set LOOP_DATABASE_URL and LOOP_NATS_URL"
            )
        values["database_url"] = values["database_url"] or stack.database_url
        values["nats_url"] = values["nats_url"] or stack.nats_url
    if not values["master_keys"]:
        if external:
            raise SettingError("LOOP_MASTER_KEYS is required with an external database")
        values["master_keys"] = master_keys_of(values["home"])
    try:
        MasterKeys(values["master_keys"])
    except MasterKeyError as error:
        raise SettingError(str(error)) from None
    values["public_url"] = values["public_url"] or f"http://{values['host']}:{values['port']}"
    return Settings(**values)


class _Up(msgspec.Struct, rename="camel"):
    sandbox_url: str | None = None


def _sandbox_of(
    home: Path, environ: Mapping[str, str], overrides: Mapping[str, str | None]
) -> dict[str, str]:
    """Return where the vendors are for the `loop up` that runs over the folder, unless given."""
    found = _Up()
    with contextlib.suppress(OSError, msgspec.DecodeError):
        if folder.is_locked(home / "up.lock"):
            found = msgspec.json.decode((home / "up.json").read_bytes(), type=_Up)
    return {
        f"{vendor}_base_url": f"{found.sandbox_url}/{vendor}"
        for vendor in ("stripe", "razorpay")
        if found.sandbox_url
        and not environ.get(f"LOOP_{vendor.upper()}_BASE_URL")
        and not overrides.get(f"{vendor}_base_url")
    }


def _parsed(environ: Mapping[str, str], overrides: Mapping[str, str | None]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = overrides.get(setting.field)
        if text is None:
            text = environ.get(setting.name, setting.default)
        if not text:
            values[setting.field] = _EMPTY.get(setting.parse, "")
            continue
        try:
            values[setting.field] = setting.parse(text)
        except ValueError as error:
            # The value itself may hold a password: it is not repeated.
            raise SettingError(f"{setting.name} is not usable: {_reason(error)}") from None
    return values


def _reason(error: ValueError) -> str:
    text = str(error)
    return "a number is expected" if "literal" in text or "convert" in text else text


def data_folder(override: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the data folder without needing anything that runs."""
    env = os.environ if environ is None else environ
    return override or Path(env.get("LOOP_HOME") or "./.loop")


def master_keys_of(home: Path) -> str:
    """Return the master key of a data folder, made at the first call, in a file of mode 0600."""
    path = home / "master.key"
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    keys = f"k1:{secrets.token_hex(32)}"
    folder.private_folder(home)
    folder.write_private(path, keys + "\n")
    return path.read_text(encoding="ascii").strip()
