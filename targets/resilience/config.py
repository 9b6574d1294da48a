"""One configuration file for all components.

Each component declares its settings as a frozen dataclass, and checks their ranges itself when one is made; this
module only brings the two together. A section of the file is a component, a key in it is a field, and everything
that is left out has the component's default. A file that is wrong is answered with all that is wrong in it, each as
``file:line: section.key: what``, and nothing is configured.

A text may name an environment variable, ``${NAME}``: secrets do not belong into a file. ``config.example.yaml``
beside this module shows every section.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
import yaml

from targets.resilience.alerts import AlertConfig
from targets.resilience.circuit_breaker import CircuitBreakerConfig
from targets.resilience.connection_state import SignalRConfig
from targets.resilience.error_handler import ErrorHandlerConfig
from targets.resilience.errors import ConfigurationError
from targets.resilience.order_requests import OrderManagerConfig
from targets.resilience.ranges import in_range
from targets.resilience.rate_limiter import BucketRule, Limiter, RateLimiter, RateLimiterConfig, RateLimiters
from targets.resilience.risk.config import RiskConfig
from targets.resilience.state_reconciler import StateReconcilerConfig
from targets.resilience.token_manager import TokenManagerConfig
from targets.resilience.venue import Idempotency, VenueRules

T = TypeVar("T")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_AT: Final = re.compile(r" - at `\$\.?(.*)`$")
_FIELD: Final = re.compile(r"^([a-z_]+): ")


@dataclass(frozen=True, slots=True)
class VenueConfig:
    """Where the venue is, and what it promises. Time-outs of a request are milliseconds.

    ``pairs`` are what is traded at a spot venue, such as ``BTC/USDT``; ``passphrase`` is for venues that ask for one.
    """

    rest_url: str = ""
    stream_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    account_id: str = ""
    pairs: tuple[str, ...] = ()
    request_timeout: float = 10_000
    connect_timeout: float = 5_000
    late_seconds: float = 16.0
    query_lag_seconds: float = 4.0
    idempotency: Idempotency = "none"
    fills_numbered: bool = True

    def __post_init__(self) -> None:
        in_range("request_timeout", self.request_timeout, 1)
        in_range("connect_timeout", self.connect_timeout, 1)
        in_range("late_seconds", self.late_seconds, 0)
        in_range("query_lag_seconds", self.query_lag_seconds, 0)

    @property
    def rules(self) -> VenueRules:
        """What the order side depends on."""
        return VenueRules(self.idempotency, self.late_seconds, self.query_lag_seconds, self.fills_numbered)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Several limits: named buckets, and which requests count in which. ``default`` is for all that match no rule."""

    buckets: dict[str, RateLimiterConfig] = field(default_factory=dict)
    rules: tuple[BucketRule, ...] = ()
    default: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.buckets:
            RateLimiters(self.buckets, self.rules, self.default)

    def limiter(self, otherwise: RateLimiterConfig) -> Limiter:
        """The limiter of an account: these buckets, or one with the settings ``otherwise`` where there are none."""
        return RateLimiters(self.buckets, self.rules, self.default) if self.buckets else RateLimiter(otherwise)


@dataclass(frozen=True, slots=True)
class StateConfig:
    """Where the state is kept. ``:memory:`` forgets it with the process."""

    path: str = ":memory:"


SECTIONS: Final[Mapping[str, type]] = {
    "venue": VenueConfig,
    "state": StateConfig,
    "token_manager": TokenManagerConfig,
    "rate_limiter": RateLimiterConfig,
    "rate_limits": RateLimits,
    "circuit_breaker": CircuitBreakerConfig,
    "error_handler": ErrorHandlerConfig,
    "signalr": SignalRConfig,
    "state_reconciler": StateReconcilerConfig,
    "order_manager": OrderManagerConfig,
    "alerts": AlertConfig,
    "risk": RiskConfig,
}


class ConfigurationManager:
    """The configuration in a YAML file. ``load`` it first."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._settings: dict[str, object] | None = None
        self._present: frozenset[str] = frozenset()

    def load(self) -> None:
        """Read and check the file. Raises ConfigurationError with every problem in it."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(f"{self._path}: cannot be read: {error}") from error
        document = _Document(self._path, text)
        settings = {name: _read(document, name, kind) for name, kind in SECTIONS.items()}
        if document.problems:
            raise ConfigurationError("\n".join(document.problems))
        self._settings = settings
        self._present = frozenset(document.sections)

    def has(self, section: str) -> bool:
        """Whether the file has that section, be it empty."""
        return section in self._present

    def _section(self, kind: type[T], name: str) -> T:
        if self._settings is None:
            raise ConfigurationError(f"{self._path}: is not loaded yet")
        return cast("T", self._settings[name])

    def get_venue_config(self) -> VenueConfig:
        """The section ``venue``."""
        return self._section(VenueConfig, "venue")

    def get_state_config(self) -> StateConfig:
        """The section ``state``."""
        return self._section(StateConfig, "state")

    def get_token_manager_config(self) -> TokenManagerConfig:
        """The section ``token_manager``."""
        return self._section(TokenManagerConfig, "token_manager")

    def get_rate_limiter_config(self) -> RateLimiterConfig:
        """The section ``rate_limiter``: the one limit, where ``rate_limits`` has no buckets."""
        return self._section(RateLimiterConfig, "rate_limiter")

    def get_rate_limits(self) -> RateLimits:
        """The section ``rate_limits``."""
        return self._section(RateLimits, "rate_limits")

    def get_circuit_breaker_config(self) -> CircuitBreakerConfig:
        """The section ``circuit_breaker``."""
        return self._section(CircuitBreakerConfig, "circuit_breaker")

    def get_error_handler_config(self) -> ErrorHandlerConfig:
        """The section ``error_handler``."""
        return self._section(ErrorHandlerConfig, "error_handler")

    def get_signalr_config(self) -> SignalRConfig:
        """The section ``signalr``: the stream, whatever it speaks."""
        return self._section(SignalRConfig, "signalr")

    def get_state_reconciler_config(self) -> StateReconcilerConfig:
        """The section ``state_reconciler``."""
        return self._section(StateReconcilerConfig, "state_reconciler")

    def get_order_manager_config(self) -> OrderManagerConfig:
        """The section ``order_manager``."""
        return self._section(OrderManagerConfig, "order_manager")

    def get_alert_config(self) -> AlertConfig:
        """The section ``alerts``."""
        return self._section(AlertConfig, "alerts")

    def get_risk_config(self) -> RiskConfig:
        """The section ``risk``."""
        return self._section(RiskConfig, "risk")


class _Document:
    """A YAML file as plain data, with the line of every key, and the problems found so far."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        self.problems: list[str] = []
        self.sections: dict[str, Any] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._note(root, "")
            data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = 1 if error.problem_mark is None else error.problem_mark.line + 1
            self.problems.append(f"{path}:{line}: {error.problem}")
            return
        if data is None:
            return
        if not isinstance(data, dict):
            self.problem("", "a mapping of sections is needed")
            return
        for name in data:
            if name not in SECTIONS:
                self.problem(str(name), f"there is no such section; there are {', '.join(SECTIONS)}")
        self.sections = {name: self._with_variables(value, str(name)) for name, value in data.items()}

    def problem(self, place: str, what: str) -> None:
        """Note a problem with the key at ``place``, or with the nearest one around it."""
        known = place
        while known and known not in self._lines:
            known = re.sub(r"(\.[^.]*|\[[^\]]*\]|^[^.\[]*)$", "", known)
        where = f"{self._path}:{self._lines.get(known, 1)}"
        self.problems.append(f"{where}: {place}: {what}" if place else f"{where}: {what}")

    def _note(self, node: yaml.Node | None, place: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = f"{place}.{key.value}" if place else str(key.value)
                if inner in self._lines:
                    self.problems.append(f"{self._path}:{key.start_mark.line + 1}: {inner}: is there twice")
                self._lines[inner] = key.start_mark.line + 1
                self._note(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._lines[f"{place}[{index}]"] = value.start_mark.line + 1
                self._note(value, f"{place}[{index}]")

    def _with_variables(self, value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {key: self._with_variables(each, f"{place}.{key}") for key, each in value.items()}
        if isinstance(value, list):
            return [self._with_variables(each, f"{place}[{index}]") for index, each in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in _VARIABLE.findall(value):
            if name not in os.environ:
                self.problem(place, f"the environment variable {name} is not set")
        return _VARIABLE.sub(lambda match: os.environ.get(match[1], ""), value)


def _read(document: _Document, name: str, kind: type) -> object:
    data = document.sections.get(name)
    if data is None:
        return kind()
    if not isinstance(data, dict):
        document.problem(name, "a mapping of settings is needed")
        return None
    if kind is RiskConfig:
        return _read_risk(document, data)
    for place in _unknown(data, kind, name):
        document.problem(place, f"there is no such setting; there are {', '.join(each.name for each in fields(kind))}")
    try:
        return msgspec.convert(data, type=kind)
    except msgspec.ValidationError as error:
        document.problem(*_placed(name, str(error)))
        return None


def _read_risk(document: _Document, data: dict[str, Any]) -> RiskConfig | None:
    try:
        return RiskConfig.read(data)
    except ConfigurationError as error:
        place, _, what = str(error).partition(": ")
        document.problem(place, what)
        return None


def _unknown(data: Mapping[Any, object], kind: type, place: str) -> Iterator[str]:
    known = {each.name for each in fields(kind)}
    yield from (f"{place}.{key}" for key in data if key not in known)
    if kind is RateLimits and isinstance(buckets := data.get("buckets"), dict):
        for name, bucket in buckets.items():
            if isinstance(bucket, dict):
                yield from _unknown(bucket, RateLimiterConfig, f"{place}.buckets.{name}")


def _placed(section: str, message: str) -> tuple[str, str]:
    """Where in the file, and what, from a converter's message: it tells the path, or the component the field."""
    at = _AT.search(message)
    what = message if at is None else message[: at.start()]
    place = section if at is None or not at[1] else f"{section}.{at[1]}"
    of_field = _FIELD.match(what)
    if of_field is not None:
        return f"{place}.{of_field[1]}", what[of_field.end() :]
    return place, what
