"""Sealing: what was sealed opens in its place, and in no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.contents_rig import CANARY, kept
from lmaas_gateway.contents.archive import seal_content, unseal_content
from lmaas_gateway.contents.data_keys import OpenKey
from lmaas_gateway.errors import VaultError
from lmaas_gateway.vault.sealing import Place, seal, unseal

if TYPE_CHECKING:
    pass


class TestSealing:
    PLACE = Place("org_a", "contents", "call_1", "ciphertext", "1")
    KEY = bytes(range(32))

    def test_what_was_sealed_opens_in_its_place(self) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        assert unseal(self.KEY, nonce, sealed, self.PLACE) == CANARY
        assert CANARY not in sealed

    @pytest.mark.parametrize("field", Place.__struct_fields__)
    def test_it_opens_in_no_other_place(self, field: str) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        with pytest.raises(VaultError, match="does not open"):
            unseal(self.KEY, nonce, sealed, msgspec.structs.replace(self.PLACE, **{field: "other"}))

    def test_places_whose_parts_join_to_the_same_text_differ(self) -> None:
        one, other = Place("a|1:b", "c", "d", "e", "f"), Place("a", "b", "c", "d", "e|1:f")
        assert one.context() != other.context()

    def test_changed_bytes_do_not_open(self) -> None:
        nonce, sealed = seal(self.KEY, CANARY, self.PLACE)
        for spoiled in (sealed[:-1], sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:], b""):
            with pytest.raises(VaultError):
                unseal(self.KEY, nonce, spoiled, self.PLACE)

    def test_nonces_are_not_used_again(self) -> None:
        assert len({seal(self.KEY, b"", self.PLACE)[0] for _ in range(1000)}) == 1000

    def test_packing_that_is_of_no_known_version_is_said(self) -> None:
        key = OpenKey("dk_1", self.KEY, 0)
        sealed = seal_content(kept(), key)
        nonce, noise = seal(self.KEY, b"noise", Place("org_a", "contents", "call_1", "ciphertext", "1/dk_1"))
        with pytest.raises(VaultError, match="not one of this version"):
            unseal_content(msgspec.structs.replace(sealed, nonce=nonce, ciphertext=noise), key)
