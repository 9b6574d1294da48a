"""The configuration file: everything in it reaches its component, and everything wrong in it has a place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from targets.resilience.circuit_breaker import CircuitBreakerConfig
from targets.resilience.config import SECTIONS, ConfigurationManager, RateLimits
from targets.resilience.connection_state import SignalRConfig
from targets.resilience.error_handler import ErrorHandlerConfig
from targets.resilience.errors import ConfigurationError
from targets.resilience.order_requests import OrderManagerConfig
from targets.resilience.rate_limiter import RateLimiter, RateLimiterConfig, RateLimiters
from targets.resilience.risk.rules import MaxOrderSize
from targets.resilience.system import SystemConfig
from targets.resilience.token_manager import TokenManagerConfig

EXAMPLE = Path(__file__).parents[3] / "targets" / "resilience" / "config.example.yaml"


def loaded(path: Path, text: str) -> ConfigurationManager:
    file = path / "config.yaml"
    file.write_text(text)
    manager = ConfigurationManager(str(file))
    manager.load()
    return manager


def test_an_empty_file_gives_every_component_its_defaults(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "signalr:\n"):
        manager = loaded(tmp_path, text)
        assert manager.get_token_manager_config() == TokenManagerConfig(
            refresh_buffer_seconds=7200, max_refresh_retries=3, storage_type="memory"
        )
        assert manager.get_rate_limiter_config() == RateLimiterConfig(requests=50, window_seconds=30, queue_size=100)
        assert manager.get_circuit_breaker_config() == CircuitBreakerConfig(
            failure_threshold=5, timeout=60000, half_open_requests=3
        )
        assert manager.get_error_handler_config() == ErrorHandlerConfig(
            max_attempts=5, backoff_base=1000, backoff_multiplier=2
        )
        assert list(manager.get_signalr_config().reconnect_delays) == [0, 2000, 10000, 30000, 60000]
        assert manager.get_order_manager_config() == OrderManagerConfig(
            verification_enabled=True, verification_timeout=5000, idempotency_enabled=True
        )
        assert SystemConfig.of(manager) == SystemConfig()


def test_the_shipped_example_is_right_and_shows_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUE_CLIENT_ID", "me")
    monkeypatch.setenv("VENUE_CLIENT_SECRET", "hush")
    manager = ConfigurationManager(EXAMPLE)
    manager.load()
    text = EXAMPLE.read_text()
    assert all(f"\n{section}:" in text for section in SECTIONS if section != "rate_limiter")
    venue = manager.get_venue_config()
    assert (venue.client_id, venue.client_secret) == ("me", "hush")
    assert "hush" not in repr(venue)
    assert venue.rules.idempotency == "unique_while_pending"
    assert manager.get_state_config().path == "state.db"
    assert manager.get_signalr_config().reconnect_delays == [0, 2000, 10000, 30000, 60000]
    assert manager.get_state_reconciler_config().sweep_interval == 5000
    assert manager.get_alert_config().dedupe_window_s == 300
    assert manager.get_risk_config().rules == (MaxOrderSize(Decimal(5)),)
    limiter = manager.get_rate_limits().limiter(manager.get_rate_limiter_config())
    assert isinstance(limiter, RateLimiters)
    assert limiter.buckets["history"].config.requests == 50


def test_without_buckets_there_is_one_limit() -> None:
    limiter = RateLimits().limiter(RateLimiterConfig(7, 1.0))
    assert isinstance(limiter, RateLimiter)
    assert limiter.config.requests == 7


WRONG = {
    "circuit_breaker:\n  failure_threshold: 0": "config.yaml:2: circuit_breaker.failure_threshold: 0 is out of range",
    "circuit_breaker: {failure_threshold: five}": "config.yaml:1: circuit_breaker.failure_threshold: Expected `int`",
    "\nsignalr:\n  jitter: -1": "config.yaml:3: signalr.jitter: -1.0 is out of range; it is 0 or more",
    "signalr:\n  reconnect_delays: [0, -2]": "config.yaml:2: signalr.reconnect_delays: -2.0 is out of range",
    "signalr:\n  reconnect_delays: [0, soon]": "config.yaml:2: signalr.reconnect_delays[1]: Expected `float`",
    "order_manager: {verification_timeout: 0}": "config.yaml:1: order_manager.verification_timeout: must be more than",
    "order_manager: {verification_enabled: 1}": "order_manager.verification_enabled: Expected `bool`, got `int`",
    "token_manager: {storage_type: cloud}": "config.yaml:1: token_manager.storage_type: ",
    "token_manager: {storage_type: file}": "token_manager.storage_path: needed",
    "error_handler: {retry_statuses: [400]}": "error_handler.retry_statuses: 400 is never retried",
    "venue: {late_seconds: -1}": "venue.late_seconds: -1.0 is out of range",
    "venue: {idempotency: sometimes}": "venue.idempotency: Invalid enum value 'sometimes'",
    "order_manager: {verfication_timeout: 9}": "order_manager.verfication_timeout: there is no such setting; there are",
    "order_manger: {}": "config.yaml:1: order_manger: there is no such section; there are venue, state",
    "signalr: 7": "config.yaml:1: signalr: a mapping of settings is needed",
    "- signalr": "config.yaml:1: a mapping of sections is needed",
    "signalr: {\n": "config.yaml:2: ",
    "signalr: {jitter: 1}\nsignalr: {jitter: 2}": "config.yaml:2: signalr: is there twice",
    "venue: {client_secret: '${NO_SUCH_VARIABLE}'}": "venue.client_secret: the environment variable NO_SUCH",
    "rate_limits: {buckets: {a: {requets: 1}}}": "rate_limits.buckets.a.requets: there is no such setting",
    "rate_limits: {buckets: {a: {requests: 0}}}": "rate_limits.buckets",
    "rate_limits: {buckets: {a: {requests: 1}}, default: [b]}": "rate_limits",
    "risk: {rules: {max_order_size: {quantity_max: -5}}}": "risk.rules.max_order_size.quantity_max: a number above 0",
    "risk: {rules: {no_such_rule: {}}}": "config.yaml:1: risk.rules.no_such_rule: there is no such rule",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, text)
    assert WRONG[text] in str(refused.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, "signalr: {jitter: -1}\nvenue: {late_seconds: -1}\nnothing: {}\n")
    assert len(str(refused.value).splitlines()) == 3


def test_a_secret_is_never_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, "venue: {client_secret: [hush]}\ntoken_manager: {encryption_key: {hush: hush}}")
    assert "hush" not in str(refused.value)


def test_a_file_that_cannot_be_read_and_one_that_was_not_loaded(tmp_path: Path) -> None:
    missing = ConfigurationManager(tmp_path / "missing.yaml")
    with pytest.raises(ConfigurationError, match=r"missing\.yaml: cannot be read"):
        missing.load()
    with pytest.raises(ConfigurationError, match="is not loaded yet"):
        missing.get_signalr_config()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ConfigurationManager(tmp_path / "bytes.yaml").load()


def test_a_time_of_day_may_be_written_without_quotes(tmp_path: Path) -> None:
    assert loaded(tmp_path, "risk: {day_begins: 17:00}").get_risk_config().day_begins.hour == 17
    assert loaded(tmp_path, "signalr: {max_reconnect_attempts: null}").get_signalr_config() == SignalRConfig(
        max_reconnect_attempts=None
    )
