"""Read the whole trail and name every row where it is not what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway.audit.chain import GENESIS, is_sealed
from lmaas_gateway.audit.checkpoints import is_signed
from lmaas_gateway.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from lmaas_gateway.audit.chain import Row
    from lmaas_gateway.audit.checkpoints import Checkpoint
    from lmaas_gateway.vault.vault import Vault

Kind = Literal["edited", "removed", "reordered", "truncated", "rewritten", "forged_checkpoint", "unknown_key"]
_MAX_FINDINGS = 1000


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        seq: The row where it shows; of rows that are missing, the first.
    """

    seq: int
    kind: Kind
    message: str


class Verdict(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        rows: How many were read.
        checkpoints: How many they were compared with.
        signed_rows: Up to which row nothing can have been changed unseen, even by one who has the audit key.
        findings: In the order of the rows; none if all is as it was.
    """

    rows: int
    checkpoints: int
    signed_rows: int
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


async def verify(rows: AsyncIterable[Row], checkpoints: Iterable[Checkpoint], vault: Vault) -> Verdict:
    """Compare rows with each other and with checkpoints.

    Args:
        rows: All of them, by `seq`.
        checkpoints: Of the database and of the file elsewhere, in any order, twice too.
        vault: Has the keys.
    """
    walk = _Walk(vault, checkpoints)
    async for row in rows:
        walk.see(row)
    return walk.end()


class _Walk:
    """One way along the chain. What is wrong at a row is not held against those that follow on it."""

    def __init__(self, vault: Vault, checkpoints: Iterable[Checkpoint]) -> None:
        self._vault = vault
        self._findings: list[Finding] = []
        self._signed: dict[int, set[bytes]] = {}
        self._checkpoints = 0
        for checkpoint in sorted(set(checkpoints), key=lambda checkpoint: checkpoint.size):
            self._take(checkpoint)
        self._seq = self._rows = self._last_good = 0
        self._mac = GENESIS

    def see(self, row: Row) -> None:
        """Look at the next row."""
        if row.seq != self._seq + 1:
            self._note(self._seq + 1, "removed", f"rows {self._seq + 1} to {row.seq - 1} are missing")
        elif row.previous_mac != self._mac:
            self._note(row.seq, "reordered", f"row {row.seq} does not follow on row {self._seq}")
        self._check_seal(row)
        heads = self._signed.pop(row.seq, None)
        if heads is not None:
            self._compare(row, heads)
        self._seq, self._mac = row.seq, row.mac
        self._rows += 1

    def end(self) -> Verdict:
        """Judge what should have come."""
        # Those that are missing in between have been noted where they should have been.
        size = max(self._signed, default=0)
        if size > self._seq:
            self._note(self._seq + 1, "truncated", f"rows {self._seq + 1} to {size} are missing at the end")
        findings = sorted(self._findings, key=lambda finding: finding.seq)
        return Verdict(self._rows, self._checkpoints, self._last_good, tuple(findings))

    def _take(self, checkpoint: Checkpoint) -> None:
        if is_signed(checkpoint, self._vault):
            self._checkpoints += 1
            self._signed.setdefault(checkpoint.size, set()).add(checkpoint.head)
        else:
            text = f"checkpoint {checkpoint.seq}, at row {checkpoint.size}, is not signed by this gateway"
            self._note(checkpoint.size, "forged_checkpoint", text)

    def _check_seal(self, row: Row) -> None:
        try:
            if not is_sealed(row, self._vault):
                self._note(row.seq, "edited", f"row {row.seq} is not as it was written")
        except VaultError as error:
            self._note(row.seq, "unknown_key", f"row {row.seq} cannot be checked: {error}")

    def _compare(self, row: Row, heads: set[bytes]) -> None:
        if heads == {row.mac}:
            self._last_good = row.seq
            return
        first = self._last_good + 1
        text = f"rows between {first} and {row.seq} are not those that were signed at row {row.seq}"
        self._note(row.seq, "rewritten", text)

    def _note(self, seq: int, kind: Kind, message: str) -> None:
        if len(self._findings) < _MAX_FINDINGS:
            self._findings.append(Finding(seq, kind, message))
