"""What was done to a trail shows, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.audit.chain import GENESIS, Entry, Row, is_sealed, seal
from lmaas_gateway.audit.checkpoints import Checkpoint, is_signed, public_key, sign
from lmaas_gateway.audit.verify import Verdict, verify
from lmaas_gateway.audit.witness import Witness
from lmaas_gateway.vault.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

VAULT = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"})
STRANGER = Vault({1: b"aP5bX1nV8kM3tQ7zR2wY6cL9hD4jF0gSeUiO"})
MINUTE_US = 60_000_000


def entry(number: int, **fields: object) -> Entry:
    made = Entry(
        at=number * MINUTE_US,
        organization_id="org_a",
        actor="user_1",
        action="keys.create",
        object_kind="key",
        object_id=f"key{number}",
    )
    return msgspec.structs.replace(made, **fields)


def chain(length: int, vault: Vault = VAULT, *, after: Sequence[Row] = ()) -> list[Row]:
    rows = list(after)
    for seq in range(len(rows) + 1, length + 1):
        rows.append(seal(entry(seq), seq, rows[-1].mac if rows else GENESIS, vault))
    return rows


def checkpoint(rows: Sequence[Row], number: int = 1, vault: Vault = VAULT) -> Checkpoint:
    return sign(Checkpoint(seq=number, at=0, size=len(rows), head=rows[-1].mac), vault)


async def judge(rows: Sequence[Row], *checkpoints: Checkpoint, vault: Vault = VAULT) -> Verdict:
    async def read() -> AsyncIterator[Row]:
        for row in rows:
            yield row

    return await verify(read(), checkpoints, vault)


async def findings(rows: Sequence[Row], *checkpoints: Checkpoint) -> list[tuple[int, str]]:
    verdict = await judge(rows, *checkpoints)
    return [(finding.seq, finding.kind) for finding in verdict.findings]


class TestVerify:
    async def test_trail_that_nobody_touched_is_intact(self) -> None:
        rows = chain(10)
        verdict = await judge(rows, checkpoint(rows[:4]), checkpoint(rows, 2))
        assert verdict == Verdict(rows=10, checkpoints=2, signed_rows=10, findings=())
        assert verdict.is_intact

    async def test_empty_trail_is_intact(self) -> None:
        assert (await judge([])).is_intact

    @pytest.mark.parametrize(
        "change",
        [
            {"at": 0},
            {"organization_id": None},
            {"organization_id": "org_b"},
            {"actor": "user_2"},
            {"action": "keys.revoke"},
            {"object_kind": "project"},
            {"object_id": "other"},
            {"detail": '{"weight":2}'},
            {"mac": b""},
            {"mac": b"\x00\x01" + bytes(32)},
        ],
    )
    async def test_edit_is_found_at_its_row_and_at_no_other(self, change: dict[str, object]) -> None:
        rows = chain(10)
        rows[4] = msgspec.structs.replace(rows[4], **change)
        found = await findings(rows)
        assert found[0] == (5, "edited")
        assert {seq for seq, _ in found} <= ({5, 6} if "mac" in change else {5})

    async def test_edit_that_moves_text_from_one_field_to_the_next_is_found(self) -> None:
        rows = chain(3)
        moved = msgspec.structs.replace(rows[1], actor="user_1keys", action=".create")
        assert await findings([rows[0], moved, rows[2]]) == [(2, "edited")]

    async def test_removal_is_found_with_the_rows_that_are_missing(self) -> None:
        rows = chain(10)
        verdict = await judge([*rows[:3], *rows[6:]])
        assert [finding.message for finding in verdict.findings] == ["rows 4 to 6 are missing"]

    async def test_removal_of_the_first_rows_is_found(self) -> None:
        assert await findings(chain(5)[2:]) == [(1, "removed")]

    async def test_removal_that_was_numbered_over_is_found(self) -> None:
        rows = chain(6)
        renumbered = [msgspec.structs.replace(row, seq=row.seq - 1) for row in rows[3:]]
        found = await findings([*rows[:2], *renumbered])
        assert found[:2] == [(3, "reordered"), (3, "edited")]

    async def test_reorder_is_found(self) -> None:
        rows = chain(6)
        rows[2], rows[3] = (
            msgspec.structs.replace(rows[3], seq=3),
            msgspec.structs.replace(rows[2], seq=4),
        )
        assert {seq for seq, _ in await findings(rows)} >= {3, 4}

    async def test_row_put_in_by_one_without_the_key_is_found(self) -> None:
        rows = chain(4)
        forged = seal(entry(5), 5, rows[-1].mac, STRANGER)
        assert await findings([*rows, forged]) == [(5, "edited")]

    async def test_truncation_is_found_by_a_checkpoint(self) -> None:
        rows = chain(10)
        verdict = await judge(rows[:6], checkpoint(rows[:4]), checkpoint(rows, 2))
        (finding,) = verdict.findings
        assert (finding.seq, finding.kind) == (7, "truncated")
        assert finding.message == "rows 7 to 10 are missing at the end"
        assert verdict.signed_rows == 4

    async def test_whole_trail_gone_is_found(self) -> None:
        assert await findings([], checkpoint(chain(3))) == [(1, "truncated")]

    async def test_rewrite_by_one_who_has_the_key_is_found_by_the_next_checkpoint(self) -> None:
        """One who has the audit key can make a chain without a break, but not what was signed."""
        rows = chain(10)
        kept = (checkpoint(rows[:4]), checkpoint(rows[:8], 2))
        rewritten = [*rows[:5]]
        for seq in range(6, 11):
            rewritten.append(seal(entry(seq, actor="nobody"), seq, rewritten[-1].mac, VAULT))
        verdict = await judge(rewritten, *kept)
        (finding,) = verdict.findings
        assert (finding.seq, finding.kind) == (8, "rewritten")
        assert "rows between 5 and 8" in finding.message
        assert verdict.signed_rows == 4

    async def test_rewrite_after_a_checkpoint_that_was_forged_over_is_found(self) -> None:
        rows = chain(6)
        rewritten = chain(6, after=[*rows[:2], seal(entry(3, actor="x"), 3, rows[1].mac, VAULT)])
        kept, forged = checkpoint(rows), checkpoint(rewritten)
        assert await findings(rewritten, kept, forged) == [(6, "rewritten")]

    async def test_checkpoint_that_was_not_signed_here_is_found(self) -> None:
        rows = chain(4)
        strange = checkpoint(rows, vault=STRANGER)
        edited = msgspec.structs.replace(checkpoint(rows), at=5)
        unsigned = Checkpoint(seq=9, at=0, size=4, head=rows[-1].mac)
        assert await findings(rows, strange, edited, unsigned) == [(4, "forged_checkpoint")] * 3

    async def test_removal_over_a_checkpoint_is_no_truncation(self) -> None:
        rows = chain(6)
        assert await findings([*rows[:2], *rows[4:]], checkpoint(rows[:3])) == [(3, "removed")]

    async def test_version_of_the_key_that_is_gone_is_said(self) -> None:
        rows = chain(2, Vault({2: b"x" * 32}))
        verdict = await judge(rows)
        assert {finding.kind for finding in verdict.findings} == {"unknown_key"}
        assert "version 2" in verdict.findings[0].message

    async def test_rows_of_several_key_versions_are_one_chain(self) -> None:
        both = Vault({1: b"Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI", 2: b"other-secret"})
        rows = chain(3)
        rows = chain(6, both, after=rows)
        assert (await judge(rows, checkpoint(rows, vault=both), vault=both)).is_intact

    async def test_ruin_is_told_in_bounded_words(self) -> None:
        rows = chain(1500, STRANGER)
        assert len((await judge(rows)).findings) == 1000

    async def test_clock_that_jumps_back_changes_no_order(self) -> None:
        first = seal(entry(1, at=10**15), 1, GENESIS, VAULT)
        second = seal(entry(2, at=10**15 - 3600 * 10**6), 2, first.mac, VAULT)
        assert (await judge([first, second])).is_intact

    @given(st.text(), st.text(), st.text())
    def test_any_text_can_be_sealed(self, actor: str, object_id: str, detail: str) -> None:
        texts = [text.encode("utf-8", "replace").decode() for text in (actor, object_id, detail)]
        made = entry(1, actor=texts[0], object_id=texts[1], detail=texts[2])
        assert is_sealed(seal(made, 1, GENESIS, VAULT), VAULT)


class TestWitness:
    def test_what_was_appended_is_read_again(self, tmp_path: Path) -> None:
        witness = Witness(tmp_path / "checkpoints.jsonl")
        rows = chain(6)
        made = [checkpoint(rows[:3]), checkpoint(rows, 2)]
        assert witness.read() == []
        for each in made:
            witness.append([each], public_key(VAULT))
        assert witness.read() == made
        assert (tmp_path / "checkpoints.jsonl").stat().st_mode & 0o777 == 0o600
        assert all(is_signed(each, VAULT) for each in witness.read())

    @pytest.mark.parametrize("cut", [1, 10, 50, 100])
    def test_line_that_was_cut_short_spoils_none_after_it(self, tmp_path: Path, cut: int) -> None:
        path = tmp_path / "checkpoints.jsonl"
        witness = Witness(path)
        rows = chain(6)
        first, second = checkpoint(rows[:3]), checkpoint(rows, 2)
        witness.append([first], public_key(VAULT))
        path.write_bytes(path.read_bytes()[:-cut])
        witness.append([second], public_key(VAULT))
        assert witness.read() == [second]

    def test_file_that_cannot_be_read_is_an_error_and_not_an_empty_one(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"[Dd]irectory"):
            Witness(tmp_path).read()
