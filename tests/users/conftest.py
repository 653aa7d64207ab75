"""Tests with several users of one machine; root alone can be them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.people import People, people


@pytest.fixture(name="people")
def _people() -> Iterator[People]:
    with people() as found:
        yield found
