"""The master secret and the keys made from it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.errors import SettingsError, VaultError
from lmaas_gateway.settings import Settings, load_settings
from lmaas_gateway.vault import master
from lmaas_gateway.vault.strength import find_weakness
from lmaas_gateway.vault.vault import Purpose, Vault

if TYPE_CHECKING:
    from pathlib import Path

STRONG = "Zk3pQ9xT7mB1vR5nW8yL2cH6dJ0fG4sAuEoI"
OTHER = "aP5bX1nV8kM3tQ7zR2wY6cL9hD4jF0gSeUiO"
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def settings_in(folder: Path, **fields: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, **fields})


def private_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


class TestStrength:
    @pytest.mark.parametrize(
        ("secret", "weakness"),
        [
            ("short", "shorter"),
            ("x" * 64, "different characters"),
            ("ab1" * 20, "different characters"),
            ("0123456789abcdef" * 3, "repeats"),
            ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "counts"),
            ("sk-1234567890abcdefQWERTYUIOPzxcvbnm", "sk-1234"),
            ("ChangeMe-9a8d7f6e5c4b3a291807f6e5d4c", "changeme"),
            ("my-super-secret-jwt-token-32-charsX1", "secret"),
            ("correct-horse-battery-staple-and-more", "one kind"),
        ],
    )
    def test_what_people_think_of_is_refused(self, secret: str, weakness: str) -> None:
        assert weakness in (find_weakness(secret) or "")

    @given(st.binary(min_size=32, max_size=64))
    def test_any_text_gets_an_answer(self, data: bytes) -> None:
        find_weakness(data.decode("latin-1"))

    def test_what_is_drawn_at_random_is_taken(self) -> None:
        for _ in range(200):
            assert find_weakness(secrets.token_hex(32)) is None
            assert find_weakness(secrets.token_urlsafe(48)) is None


class TestMasterSecret:
    def test_first_start_makes_a_file_that_only_its_user_reads(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "data"
        vault = Vault.open(settings_in(folder))
        path = folder / "master.key"
        assert path.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [entry.name for entry in folder.iterdir()] == ["master.key"]
        assert Vault.open(settings_in(folder)).keys_of("pepper") == vault.keys_of("pepper")

    def test_of_two_first_starts_at_once_one_makes_it_and_both_use_it(self, tmp_path: Path) -> None:
        path = tmp_path / "master.key"
        assert master.make(path) == master.make(path)

    def test_variable_is_taken_before_any_file(self, tmp_path: Path) -> None:
        environ = {"LMAAS_MASTER_KEY": STRONG, "LMAAS_DATA_DIR": str(tmp_path)}
        vault = Vault.open(load_settings(environ=environ))
        assert vault.versions == (1,)
        assert vault.path is None
        assert list(tmp_path.iterdir()) == []

    def test_file_of_the_operator_is_read_and_never_made(self, tmp_path: Path) -> None:
        path = tmp_path / "mounted"
        with pytest.raises(SettingsError, match="cannot be read"):
            Vault.open(settings_in(tmp_path, master_key_file=path))
        private_file(path, f"# of the gateway\n\n1:{STRONG}\n2:{OTHER}\n")
        vault = Vault.open(settings_in(tmp_path, master_key_file=path))
        assert (vault.versions, vault.newest) == ((1, 2), 2)

    def test_variable_and_file_together_are_refused(self, tmp_path: Path) -> None:
        environ = {"LMAAS_MASTER_KEY": STRONG, "LMAAS_MASTER_KEY_FILE": str(tmp_path / "key")}
        with pytest.raises(SettingsError, match="keep one of them"):
            load_settings(environ=environ)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
    def test_file_that_others_can_read_is_refused_with_what_to_do(self, tmp_path: Path, mode: int) -> None:
        path = private_file(tmp_path / "key", STRONG)
        path.chmod(mode)
        with pytest.raises(SettingsError, match="chmod 600"):
            master.read(path)

    def test_file_of_another_user_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = private_file(tmp_path / "key", STRONG)
        os.chown(path, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(SettingsError, match="another user"):
            master.read(path)

    def test_group_may_read_what_root_mounted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = private_file(tmp_path / "key", STRONG)
        path.chmod(0o440)
        owner = path.stat().st_uid
        if owner != 0:
            pytest.skip("needs root to make a file of root's")
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert master.read(path) == {1: STRONG.encode()}

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "holds no secret"),
            ("# nothing\n", "holds no secret"),
            ("1:short", "shorter"),
            (f"1:{STRONG}\n1:{OTHER}", "version 1 twice"),
            (f"{STRONG}\n{OTHER}", "version 1 twice"),
            (f"one two {STRONG}", "not VERSION:SECRET"),
        ],
    )
    def test_what_cannot_be_used_is_refused_without_being_shown(self, text: str, problem: str) -> None:
        with pytest.raises(SettingsError, match=problem) as caught:
            master.parse(text, "master_key")
        assert STRONG not in str(caught.value)

    def test_file_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_bytes(os.urandom(64) + b"\xff\xfe")
        path.chmod(0o600)
        with pytest.raises(SettingsError, match="not text"):
            master.read(path)

    def test_folder_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SettingsError, match="set data_dir"):
            master.make(tmp_path / "file" / "master.key")

    def test_secret_is_masked_where_settings_are_shown(self, tmp_path: Path) -> None:
        assert STRONG not in repr(settings_in(tmp_path, master_key=STRONG))
        assert STRONG not in settings_in(tmp_path, master_key=STRONG).model_dump_json()


class TestVersions:
    def test_added_version_is_the_newest_and_the_old_one_stays(self, tmp_path: Path) -> None:
        vault = Vault.open(settings_in(tmp_path))
        old = vault.keys_of("wrap")
        assert master.add_version(tmp_path / "master.key") == 2
        vault.refresh()
        assert (vault.versions, vault.newest) == ((1, 2), 2)
        assert vault.keys_of("wrap", 1) == old != vault.keys_of("wrap")
        assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600

    def test_version_that_another_process_added_is_found_when_it_is_needed(self, tmp_path: Path) -> None:
        vault = Vault.open(settings_in(tmp_path))
        master.add_version(tmp_path / "master.key")
        assert vault.newest == 1
        assert vault.keys_of("wrap", 2)
        assert vault.newest == 2

    def test_version_that_is_gone_is_said_with_those_that_are_here(self) -> None:
        vault = Vault({1: STRONG.encode(), 3: OTHER.encode()})
        with pytest.raises(VaultError, match=r"version 2 .* only \[1, 3\]"):
            vault.keys_of("pepper", 2)

    def test_version_cannot_be_added_to_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read"):
            master.add_version(tmp_path / "key")


class TestPurposes:
    def test_each_purpose_and_version_has_a_key_of_its_own(self) -> None:
        vault = Vault({1: STRONG.encode(), 2: STRONG.encode()})
        keys = {vault.keys_of(purpose, version) for purpose in PURPOSES for version in (1, 2)}
        assert len(keys) == 2 * len(PURPOSES)
        assert all(len(key) == 32 and key not in STRONG.encode() for key in keys)

    def test_fingerprint_tells_secrets_apart_and_is_none_of_the_keys(self) -> None:
        vault, other = Vault({1: STRONG.encode()}), Vault({1: OTHER.encode()})
        assert vault.fingerprint(1) != other.fingerprint(1)
        assert vault.fingerprint(1) == Vault({1: STRONG.encode()}).fingerprint(1)
        assert vault.fingerprint(1) not in {vault.keys_of(purpose).hex() for purpose in PURPOSES}

    def test_keys_are_those_of_rfc_5869(self) -> None:
        vault = Vault({1: STRONG.encode()})
        extracted = hmac.digest(b"lmaas vault", STRONG.encode(), hashlib.sha256)
        expanded = hmac.digest(extracted, b"lmaas|pepper|1\x01", hashlib.sha256)
        assert vault.keys_of("pepper") == expanded


class TestDataFolder:
    def test_default_is_in_the_xdg_data_folder(self, tmp_path: Path) -> None:
        settings = Settings()
        assert settings.data_folder({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "lmaas"
        assert settings.data_folder({"XDG_DATA_HOME": "relative"}).parts[-3:] == (".local", "share", "lmaas")
