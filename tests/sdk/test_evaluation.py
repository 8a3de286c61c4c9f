from __future__ import annotations

import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rich.console import Console

from lmaas import AsyncLMaaS, LMaaS, ModelNotFoundError, Price
from lmaas.evaluation import (
    Candidate,
    Dataset,
    EvaluationError,
    Outcome,
    Prediction,
    Report,
    Scored,
    evaluate,
    evaluate_async,
)
from lmaas.evidence import Grade
from lmaas.platforms import PriceTier
from sdk.fake_vllm import BASE, FakeEngine, likes
from sdk.task_fixtures import client, engine

if TYPE_CHECKING:
    import respx

__all__ = ["client", "engine"]

PETS = [{"text": f"{pet} {number}", "label": pet} for number in range(6) for pet in ("cat", "dog")]


def by_text(prompt: str, token: int) -> float:
    """A model that reads the text: the label whose word stands last in the prompt."""
    wanted = "cat" if prompt.rfind("cat ") > prompt.rfind("dog ") else "dog"
    return likes(**{wanted: 0.9, "dog" if wanted == "cat" else "cat": 0.1})(prompt, token)


def test_a_good_model_is_told_from_the_majority_and_every_answer_is_kept(
    engine: FakeEngine, client: LMaaS, tmp_path: Path
) -> None:
    engine.logprob = by_text
    price = Price(Decimal(1), Decimal(2), "contract", date(2026, 1, 1))
    report = evaluate("classification", PETS, [Candidate("m", price=price)], client=client, draws=500)
    baseline, model = report.rows
    assert baseline.name == "baseline: majority"
    assert baseline.scores["accuracy"].value == 0.5
    assert model.scores["accuracy"].value == model.scores["macro_f1"].value == model.scores["mcc"].value == 1
    assert model.scores["ece"].value == pytest.approx(0.1)
    assert report.comparisons[0].better == "m"
    assert report.comparisons[0].difference.is_clear
    assert model.usd_per_call == pytest.approx((model.prompt_tokens + 2 * model.completion_tokens) / 1e6)
    report.write_outcomes(tmp_path / "answers.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert lines[12]["example"] == PETS[0]
    assert (lines[12]["candidate"], lines[12]["prediction"]) == ("m", "cat")
    assert lines[12]["confidence"] == pytest.approx(0.9)


def test_evidence_is_of_grade_a_and_says_when_examples_are_synthetic(
    engine: FakeEngine, client: LMaaS
) -> None:
    engine.logprob = likes(positive=0.5, neutral=0.3, negative=0.2)
    report = evaluate("sentiment", "en", ["m"], client=client, draws=200)
    quality, failures = report.evidence()["m"]
    assert (quality.metric, quality.grade, quality.n) == ("quality", Grade.A, 20)
    assert quality.low is not None
    assert quality.high is not None
    assert quality.low <= quality.value <= quality.high
    assert "synthetic examples of lmaas" in quality.source
    assert (failures.metric, failures.value) == ("parse_failure_rate", 0)
    assert "synthetic" in report.cautions[0]
    assert "m is not shown to be better than the baseline: majority." in report.cautions


async def test_the_asynchronous_twin_finds_the_same(engine: FakeEngine, client: LMaaS) -> None:
    engine.logprob = by_text
    async with AsyncLMaaS(base_url=BASE, api_key=None, max_retries=0) as other:
        found = await evaluate_async("classification", PETS, ["m"], client=other, draws=200)
    same = evaluate("classification", PETS, ["m"], client=client, draws=200)
    assert found.to_dict() == same.to_dict()
    engine.ends_answers = False
    rows = [{"text": "a", "label": "ca"}, {"text": "b", "label": "cat"}]
    async with AsyncLMaaS(base_url=BASE, api_key=None, max_retries=0) as other:
        with pytest.raises(EvaluationError, match="m: label 'ca' is how 'cat' begins"):
            await evaluate_async("classification", rows, ["m"], client=other)


def test_answers_that_cannot_be_used_count_as_wrong_and_are_told(engine: FakeEngine, client: LMaaS) -> None:
    rows = [{"text": f"Ada met Bob {n}.", "entities": [{"text": "Ada", "type": "person"}]} for n in range(4)]
    perfect = {"entities": [{"text": "Ada", "type": "person"}]}
    engine.answer = lambda body: perfect if "Bob 1" not in str(body["messages"]) else "I think it is Ada."
    report = evaluate("entities", rows, ["m"], client=client, draws=200)
    (model,) = report.candidates
    assert model.parse_failure_rate == 0.25
    assert model.scores["span_recall"].value == 0.75
    assert model.scores["span_precision"].value == 1.0
    assert model.outcomes[1].prediction.value is None
    told = "m: 25% of the answers could not be used, and count as wrong. The first: TaskOutputError"
    assert any(caution.startswith(told) for caution in report.cautions)


def test_answers_that_were_cut_are_failures_whose_part_is_kept(engine: FakeEngine, client: LMaaS) -> None:
    engine.finish_reason = "length"
    engine.answer = lambda _: '{"entities": [{"text": "Ada", "type": "person"}, {"te'
    rows = [{"text": "Ada met Bob.", "entities": [{"text": "Ada", "type": "person"}]}]
    (model,) = evaluate("entities", rows, ["m"], client=client, draws=200).candidates
    assert model.parse_failure_rate == 1
    assert model.scores["span_f1"].value == 1


def test_calls_that_fail_count_as_wrong_answers_too(engine: FakeEngine, client: LMaaS) -> None:
    engine.answer = lambda body: RuntimeError("no") if "二加二" in str(body) else "ok"
    rows = [{"text": text, "translation": "ok", "target": "en"} for text in ("二加二", "三加三")]
    report = evaluate("translation", rows, ["m"], client=client, draws=200)
    (model,) = report.candidates
    assert model.call_failure_rate == 0.5
    assert model.scores["chrf"].value < 60
    assert any("50% of the calls failed" in caution for caution in report.cautions)
    assert "二加二" not in " ".join(report.cautions)


def test_what_a_server_said_of_a_failure_is_not_kept(
    respx_mock: respx.MockRouter, client: LMaaS, tmp_path: Path
) -> None:
    fault = {"error": {"message": "cannot translate “二加二”", "type": "bad", "code": "too_hard"}}
    respx_mock.post(f"{BASE}/chat/completions").mock(return_value=httpx.Response(422, json=fault))
    rows = [{"text": "二加二", "translation": "ok", "target": "en"}]
    report = evaluate("translation", rows, ["m"], client=client, draws=200)
    assert report.candidates[0].outcomes[0].error == "UnprocessableEntityError 422 too_hard"
    report.write_outcomes(tmp_path / "outcomes.jsonl")
    kept = json.loads((tmp_path / "outcomes.jsonl").read_text("utf-8").splitlines()[-1])
    assert kept["error"] == "UnprocessableEntityError 422 too_hard"
    assert "二加二" not in report.to_markdown() + report.to_json()


def test_roles_are_judged_by_predicate_role_and_both_ends(engine: FakeEngine, client: LMaaS) -> None:
    arguments = [{"role": "agent", "text": "Ada"}, {"role": "patient", "text": "bread"}]
    rows = [{"text": "Ada cut bread.", "predicates": [{"text": "cut", "arguments": arguments}]}] * 2
    said = [{"role": "agent", "text": "Ada"}, {"role": "agent", "text": "bread"}]
    engine.answer = lambda _: {"predicates": [{"predicate": "cut", "arguments": said}]}
    baseline, model = evaluate("semantic_roles", rows, ["m"], client=client, draws=200).rows
    assert model.scores["argument_f1"].value == 0.5
    assert model.scores["predicate_f1"].value == 1
    # What the other example has around the same verb: right, because they are the same.
    assert baseline.scores["argument_f1"].value == 1


def test_documents_are_embedded_once_for_all_their_queries(engine: FakeEngine, client: LMaaS) -> None:
    engine.vector = lambda text: [1.0, 0.0] if "a" in text else [0.0, 1.0]
    documents = ["a", "b"]
    rows = [
        {"query": f"{word} {n}", "documents": documents, "relevant": [at]}
        for at, word in enumerate(documents)
        for n in range(3)
    ]
    report = evaluate("retrieval", rows, ["e"], client=client, draws=200)
    assert report.candidates[0].scores["recall_at_1"].value == 1
    assert len(engine.bodies("/embeddings")) == 1
    assert len(engine.bodies("/embeddings")[0]["input"]) == 8
    assert report.candidates[0].prompt_tokens == pytest.approx(8 / 6)


def test_summaries_and_completions_are_held_to_their_reference(engine: FakeEngine, client: LMaaS) -> None:
    engine.answer = lambda _: "The cat sat."
    rows = [{"text": "The cat sat. It slept.", "summary": "The cat sat."}]
    baseline, model = evaluate("summarization", rows, ["m"], client=client, draws=200).rows
    assert model.scores["rouge_l"].value == baseline.scores["rouge_l"].value == 1
    wanted = [("x", "And  so"), ("x", "and"), ("x", "an"), ("x", "no")]
    texts = [{"prompt": prompt, "completion": completion} for prompt, completion in wanted]
    (model,) = evaluate("completion", texts, ["m"], client=client, draws=200).candidates
    assert [one.prediction.value for one in model.outcomes] == [" and so on"] * 4
    assert model.scores["exact_match"].value == 0.5


def test_the_report_reads_as_table_markdown_and_json(engine: FakeEngine, client: LMaaS) -> None:
    engine.logprob = by_text
    report = evaluate("classification", PETS, [Candidate("m", name="[odd] | name")], client=client, draws=200)
    page = report.to_markdown()
    assert page == report._repr_markdown_()
    assert r"| \[odd\] \| name | 1.00 \[0.76, 1.00\] |" in page
    assert "| baseline: majority | 0.33" in page
    assert "Only 12 examples" in page
    assert "expected calibration error" in page
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report.to_table())
    assert "[odd] | name" in console.export_text()
    plain = json.loads(report.to_json())
    assert plain["rows"][1]["scores"]["accuracy"]["value"] == 1
    assert plain["dataset"]["sha256"] == Dataset.of("classification", PETS).sha256
    assert plain["comparisons"][0]["is_clear"] is True


@pytest.mark.parametrize(
    ("candidates", "options", "told"),
    [
        ([], {}, "give one or more, with different names"),
        (["m", "m"], {}, "with different names"),
        ([Candidate("m", options={"calibrat": True})], {}, "m: unknown option 'calibrat' for sentiment"),
        ([Candidate("m", options={"method": "choice"})], {}, "unknown option 'method' for sentiment"),
        (["m"], {"draws": 5}, "draws is 5; give 100 or more"),
        (["m"], {"client": None}, "m has no client"),
    ],
)
def test_what_cannot_work_is_said_before_any_call(
    engine: FakeEngine, client: LMaaS, candidates: list[Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(EvaluationError, match=told):
        evaluate("sentiment", "en", candidates, **{"client": client, **options})
    with pytest.raises(EvaluationError, match="examples of sentiment, not of entities"):
        evaluate("entities", Dataset.bundled("sentiment"), ["m"], client=client)
    with pytest.raises(TypeError, match="unknown option 'drawn'"):
        evaluate("sentiment", "en", ["m"], client=client, drawn=5)  # type: ignore[call-arg]  # the mistake that is meant
    assert not engine.calls


def test_labels_that_cannot_work_name_the_candidate(engine: FakeEngine, client: LMaaS) -> None:
    engine.ends_answers = False
    rows = [{"text": "a", "label": "ca"}, {"text": "b", "label": "cat"}]
    with pytest.raises(EvaluationError, match="m: label 'ca' is how 'cat' begins"):
        evaluate("classification", rows, ["m"], client=client)


def test_settings_of_a_task_reach_it(engine: FakeEngine, client: LMaaS) -> None:
    engine.answer = lambda _: "cat"
    fast: Candidate[LMaaS] = Candidate("m", options={"method": "choice", "max_tokens": 5})
    report = evaluate("classification", PETS, [fast], client=client, draws=200)
    assert "ece" not in report.candidates[0].scores
    assert {body["max_tokens"] for body in engine.bodies("/chat/completions")} == {5}
    assert "| - |" in report.to_markdown()


def test_a_model_that_is_not_there_ends_the_run(respx_mock: respx.MockRouter, client: LMaaS) -> None:
    fault = {"error": {"message": "no model x", "code": "model_not_found"}}
    respx_mock.post(f"{BASE}/tokenize").mock(return_value=httpx.Response(404, json=fault))
    with pytest.raises(ModelNotFoundError):
        evaluate("sentiment", "en", ["x"], client=client)


def test_a_price_in_another_currency_is_no_price_in_dollars(engine: FakeEngine, client: LMaaS) -> None:
    engine.logprob = by_text
    price = Price(Decimal(1), Decimal(2), "contract", date(2026, 1, 1), currency="CNY")
    report: Report = evaluate("classification", PETS, [Candidate("m", price=price)], client=client, draws=200)
    assert report.candidates[0].usd_per_call is None
    assert [one.metric for one in report.evidence()["m"]] == ["quality", "parse_failure_rate"]


def test_each_call_is_priced_by_its_own_length_and_a_failed_one_is_not_free() -> None:
    price = Price(
        Decimal(1),
        Decimal(2),
        "contract",
        date(2026, 1, 1),
        tiers=(PriceTier(1500, Decimal(100), Decimal(100)),),
    )
    answered = Outcome(Prediction("cat"), prompt_tokens=1000, completion_tokens=500)
    failed = Outcome(Prediction(None), "call", "gone")
    rows = [
        Scored.of_candidate(Candidate("m", price=price), some)
        for some in ([answered, answered, failed], [failed])
    ]
    assert rows[0].usd_per_call == pytest.approx((1000 * 1 + 500 * 2) / 1e6)
    assert rows[1].usd_per_call is None
