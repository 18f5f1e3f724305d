"""Ids in payloads: numbers and text, and nothing that could be anything else."""

import msgspec
import pytest

from processors.ids import Id, as_text


@pytest.mark.parametrize("row_id", [0, 12345, "1", "0b6a9c1e-6f0a-4f0e-9d2b-1c2d3e4f5a6b"])
def test_an_id_is_a_number_or_text(row_id: int | str) -> None:
    assert msgspec.convert(row_id, Id) == row_id
    assert as_text(row_id) == f"{row_id}"


@pytest.mark.parametrize(
    "row_id", [-1, 2**63, 1.5, True, None, "", "a b", "a\n", "a\x00", "'; --", "x" * 65, ["1"]]
)
def test_what_is_no_id_is_refused(row_id: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(row_id, Id)
