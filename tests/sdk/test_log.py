from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lmaas import ConfigurationError, LMaaS, errors
from lmaas._log import LOGGER, set_up
from lmaas._options import log_level_from_environment
from sdk.hostile import CHAT_BODY, DONE, Connection, answering, chat_event, reply, serving, streaming


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    LOGGER.setLevel(logging.NOTSET)
    LOGGER.handlers.clear()


def test_call_is_one_line_without_what_it_was_about(caplog: pytest.LogCaptureFixture) -> None:
    answers = answering(reply(b"{}", 503, "retry-after-ms: 0"), reply(CHAT_BODY, 200, "x-request-id: r1"))
    caplog.set_level(logging.DEBUG, "lmaas")
    with serving(answers) as server, LMaaS(base_url=server.url, api_key="CANARY") as client:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "CANARY"}], extra_query={"key": "CANARY"}
        )
    begins, ends = [record.getMessage() for record in caplog.records if record.name == "lmaas"]
    assert begins == "POST /v1/chat/completions begins"
    assert ends.startswith("POST /v1/chat/completions 200 in 0.")
    assert ends.endswith(" s tries=2 request_id=r1")
    assert "CANARY" not in caplog.text.replace("httpx", "")


def test_failure_is_named_by_its_class_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lmaas")
    with serving(answering(reply(b'{"error": {"message": "CANARY"}}', 400))) as server:
        with LMaaS(base_url=server.url) as client, pytest.raises(errors.BadRequestError):
            client.models.retrieve("m")
        with (
            LMaaS(base_url="http://127.0.0.1:1", max_retries=0) as client,
            pytest.raises(errors.APIConnectionError),
        ):
            client.models.retrieve("m")
    first, second = [record.getMessage() for record in caplog.records if record.name == "lmaas"]
    assert " 400 in " in first
    assert first.endswith("error=BadRequestError")
    assert " no reply in " in second
    assert "CANARY" not in caplog.text


def test_stream_is_logged_at_its_end_with_how_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lmaas")

    def script(connection: Connection) -> None:
        end = streaming([chat_event("x"), chat_event(finish="stop"), DONE])
        cut = streaming([chat_event("x")])
        (end if connection.number < 2 else cut)(connection)

    with serving(script) as server, LMaaS(base_url=server.url) as client:
        for n in range(3):
            stream = client.chat.completions.create(model="m", messages=[], stream=True)
            next(stream)
            assert len([r for r in caplog.records if r.name == "lmaas"]) == n
            if n == 1:
                stream.close()
            elif n == 2:
                with pytest.raises(errors.StreamTruncatedError):
                    list(stream)
            else:
                list(stream)
    lines = [record.getMessage() for record in caplog.records if record.name == "lmaas"]
    assert [line.rpartition("request_id=req-7")[2] for line in lines] == [
        "",
        " closed before its end",
        " error=StreamTruncatedError",
    ]


def test_environment_shows_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setenv("LMAAS_LOG", "info")
    with serving(answering(reply(CHAT_BODY))) as server, LMaaS(base_url=server.url) as client:
        client.with_options(timeout=5).chat.completions.create(model="m", messages=[])
    assert capsys.readouterr().err.count("lmaas INFO POST /v1/chat/completions 200") == 1


def test_level_of_the_environment_is_read_or_refused() -> None:
    assert log_level_from_environment({}) is None
    assert log_level_from_environment({"LMAAS_LOG": "Debug"}) == "DEBUG"
    with pytest.raises(ConfigurationError, match="LMAAS_LOG is 'loud'; set it to info or debug"):
        log_level_from_environment({"LMAAS_LOG": "loud"})


def test_program_with_handlers_of_its_own_keeps_them() -> None:
    set_up("INFO")
    handlers = list(LOGGER.handlers)
    set_up("DEBUG")
    assert LOGGER.handlers == handlers
