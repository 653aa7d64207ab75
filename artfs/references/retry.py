"""When to try again, and when to stop: one policy for all schemes.

Adapters raise TransientFailure for what is worth another attempt and have retries of their own
switched off, so that attempts do not multiply and bodies that break off are covered as well.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from artfs.errors import BackendUnavailable, DeadlineExceeded
from artfs.references.base import TransientFailure
from artfs.settings import TIMEOUT_VARIABLE, timeout_s
from artfs.system.heads import MIN_BYTES_PER_S

logger = logging.getLogger(__name__)

T = TypeVar("T")


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long and how often a source is asked for the same bytes; all times in seconds."""

    deadline_s: float = 45.0
    """Of all attempts together; a body that makes progress may go on for `step_timeout_s`."""
    step_timeout_s: float = 10.0
    """Of one step (to connect, to wait for an answer or for the next piece), until there was a
    silence of that length. Then whatever is left may be waited for: perhaps it only takes long."""
    attempts: int = 5
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0

    @classmethod
    def within(cls, timeout_s: float) -> RetryPolicy:
        """For reads that may take `timeout_s`: less than that, so that what failed is told."""
        return cls(deadline_s=timeout_s * _DEADLINE_SHARE, step_timeout_s=timeout_s * _STEP_SHARE)

    @classmethod
    def standard(cls) -> RetryPolicy:
        """As the setting says, or the mount that this process serves. Raises: ConfigError."""
        return cls.within(timeout_s())


_DEADLINE_SHARE = 0.75
_STEP_SHARE = 1 / 6


class Deadline:
    """The budget of one read: a moment after which nothing new is begun, and its attempts."""

    __slots__ = ("_at", "_was_silent", "failures", "policy", "received_bytes")

    def __init__(self, policy: RetryPolicy) -> None:
        self._at = time.monotonic() + policy.deadline_s
        self.policy = policy
        self._was_silent = False
        self.failures = 0
        """Attempts that came to nothing."""
        self.received_bytes = 0
        """By all attempts, also of what had come before."""

    def note_failure(self, error: TransientFailure) -> None:
        """An attempt came to nothing."""
        self.failures += 1
        self._was_silent |= error.timed_out

    @property
    def account(self) -> str:
        """What was tried, for people."""
        attempts = f"{self.failures} attempt{'' if self.failures == 1 else 's'}"
        got = f", {self.received_bytes} bytes" if self.received_bytes else ""
        return f"gave up after {attempts}{got}"

    def is_too_slow(self, received_bytes: int, elapsed_s: float) -> bool:
        """Whether a connection is so slow that a new one is the better bet."""
        return (
            elapsed_s > self.policy.step_timeout_s and received_bytes < elapsed_s * MIN_BYTES_PER_S
        )

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._at - time.monotonic())

    @property
    def step_s(self) -> float:
        """The time limit of a step that begins now."""
        most_s = math.inf if self._was_silent else self.policy.step_timeout_s
        return max(0.05, min(most_s, self.remaining_s))


def retrying(
    policy: RetryPolicy, operation: Callable[[Deadline], T], *, deadline: Deadline | None = None
) -> T:
    """The result of `operation`, tried again after each TransientFailure while that makes sense.

    Waits grow twofold with full jitter, and are at least what the server asked for. `deadline`
    is one that is already running, with the attempts that it has left.
    Blocks: until the deadline, at most.
    Raises: what the operation raises; when it was given up BackendUnavailable, or
    DeadlineExceeded where there was no answer the last time.
    """
    deadline = deadline or Deadline(policy)
    while True:
        try:
            return operation(deadline)
        except TransientFailure as error:
            deadline.note_failure(error)
            delay_s = _delay_s(policy, deadline.failures, error.retry_after_s)
            if deadline.failures >= policy.attempts or delay_s >= deadline.remaining_s:
                given_up = DeadlineExceeded if error.timed_out else BackendUnavailable
                raise given_up(
                    error.subject,
                    f"{error.reason} ({deadline.account})",
                    hint=error.hint or (limit_hint(policy) if error.timed_out else ""),
                ) from error
            # Not worth a line of a log each: the last one tells of all.
            logger.debug("%s; tried again in %.1f s", error, delay_s)
        time.sleep(delay_s)


def limit_hint(policy: RetryPolicy) -> str:
    """Which limit was hit, and how to raise it."""
    return (
        f"all attempts may take {policy.deadline_s:g} s, three quarters of the timeout: "
        f"raise it by `-o timeout=S` of the mount, ${TIMEOUT_VARIABLE}, or `timeout` in the "
        "configuration file"
    )


def _delay_s(policy: RetryPolicy, attempt: int, retry_after_s: float | None) -> float:
    longest_s = min(policy.max_delay_s, policy.first_delay_s * 2 ** (attempt - 1))
    jittered_s = random.uniform(longest_s / 4, longest_s)  # noqa: S311 - spreads load, no secret
    return max(jittered_s, retry_after_s or 0.0)
