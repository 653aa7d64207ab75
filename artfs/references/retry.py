"""When to try again, and when to stop: one policy for all schemes.

Adapters raise TransientFailure for what is worth another attempt and have retries of their own
switched off, so that attempts do not multiply and bodies that break off are covered as well.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from artfs.errors import BackendUnavailable, DeadlineExceeded
from artfs.references.base import TransientFailure

logger = logging.getLogger(__name__)

T = TypeVar("T")

MIN_BYTES_PER_S = 1024


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long and how often a source is asked for the same bytes; all times in seconds."""

    deadline_s: float = 30.0
    """Of all attempts together; a body that makes progress may go on for `step_timeout_s`."""
    step_timeout_s: float = 10.0
    """Of one step: to connect, to wait for an answer, to wait for the next piece."""
    attempts: int = 5
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0


class Deadline:
    """A moment after which nothing new is begun."""

    __slots__ = ("_at", "_step_s")

    def __init__(self, policy: RetryPolicy) -> None:
        self._at = time.monotonic() + policy.deadline_s
        self._step_s = policy.step_timeout_s

    def is_too_slow(self, received_bytes: int, elapsed_s: float) -> bool:
        """Whether a connection is so slow that a new one is the better bet."""
        return elapsed_s > self._step_s and received_bytes < elapsed_s * MIN_BYTES_PER_S

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._at - time.monotonic())

    @property
    def step_s(self) -> float:
        """The time limit of a step that begins now."""
        return max(0.05, min(self._step_s, self.remaining_s))


def retrying(
    policy: RetryPolicy, operation: Callable[[Deadline], T], *, deadline: Deadline | None = None
) -> T:
    """The result of `operation`, tried again after each TransientFailure while that makes sense.

    Waits grow twofold with full jitter, and are at least what the server asked for. `deadline`
    is one that is already running. Blocks: until the deadline, at most.
    Raises: what the operation raises; when it was given up BackendUnavailable, or
    DeadlineExceeded where there was no answer the last time.
    """
    deadline = deadline or Deadline(policy)
    attempt = 0
    while True:
        attempt += 1
        try:
            return operation(deadline)
        except TransientFailure as error:
            delay_s = _delay_s(policy, attempt, error.retry_after_s)
            if attempt >= policy.attempts or delay_s >= deadline.remaining_s:
                given_up = DeadlineExceeded if error.timed_out else BackendUnavailable
                raise given_up(
                    error.subject,
                    f"{error.reason} (gave up after {attempt} attempts)",
                    hint=error.hint,
                ) from error
            logger.info("%s; attempt %d follows in %.1f s", error, attempt + 1, delay_s)
        time.sleep(delay_s)


def _delay_s(policy: RetryPolicy, attempt: int, retry_after_s: float | None) -> float:
    longest_s = min(policy.max_delay_s, policy.first_delay_s * 2 ** (attempt - 1))
    jittered_s = random.uniform(longest_s / 4, longest_s)  # noqa: S311 - spreads load, no secret
    return max(jittered_s, retry_after_s or 0.0)
