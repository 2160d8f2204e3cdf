import json
import re
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import textgen
from tests.server.conftest import LIMITS
from textgen.server import ServerSettings
from textgen.server.app import build_app
from textgen.server.service import Service
from textgen.settings.definitions import ModelSettings, TokenizerSettings
from textgen.tokens import build_tokenizer


def events(content: str) -> list[tuple[str, dict]]:
    """The events of a stream."""
    found = []
    for part in content.removesuffix("\n\n").split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_text_whole(client: TestClient, trained_dir: Path) -> None:
    wanted = {"seed": "The river", "length": 50, "temperature": 0.5, "random_seed": 3}
    answer = client.post("/api/generate", json=wanted)
    assert answer.status_code == 200
    content = answer.json()
    expected = textgen.load(trained_dir).generate("The river", 50, 0.5, 3)
    assert (content["text"], content["tokens"], content["random_seed"]) == (expected, 50, 3)
    assert content["finish_reason"] == "length"
    assert "details" not in content


def test_the_same_text_as_events(client: TestClient) -> None:
    wanted = {"seed": "The", "length": 80, "random_seed": 4, "stream": True}
    answer = client.post("/api/generate", json=wanted)
    assert answer.headers["content-type"].startswith("text/event-stream")
    (first, start), *pieces, (last, done) = events(answer.text)
    assert (first, last) == ("start", "done")
    assert start["random_seed"] == 4
    assert {name for name, _ in pieces} == {"piece"}
    whole = client.post("/api/generate", json=wanted | {"stream": False}).json()["text"]
    assert "".join(data["text"] for _, data in pieces) == whole
    assert (done["tokens"], done["finish_reason"]) == (80, "length")


def test_without_a_random_seed_the_answer_says_which_one_makes_it_again(client: TestClient) -> None:
    first = client.post("/api/generate", json={"length": 30}).json()
    again = client.post("/api/generate", json={"length": 30, "random_seed": first["random_seed"]})
    assert again.json()["text"] == first["text"]


def test_tokens_and_what_else_was_likely(client: TestClient) -> None:
    wanted = {"seed": "The ", "length": 20, "alternatives": 4, "random_seed": 1}
    content = client.post("/api/generate", json=wanted).json()
    details = content["details"]
    assert "".join(token["text"] for token in details) == content["text"]
    for token in details:
        probabilities = [probability for _, probability in token["alternatives"]]
        assert len(probabilities) in (3, 4), "the unknown token is not shown"
        assert probabilities == sorted(probabilities, reverse=True)
        assert probabilities[0] >= token["probability"] > 0


def test_a_branch_begins_with_the_token_that_was_chosen(client: TestClient) -> None:
    branch = client.post("/api/generate", json={"seed": "The ", "length": 9, "first": "w"}).json()
    assert branch["text"].startswith("w")
    unknown = client.post("/api/generate", json={"seed": "The ", "length": 9, "first": "☃"})
    assert unknown.status_code == 422
    assert "`first`" in unknown.json()["error"]


def test_old_names_are_still_read_and_said_to_be_old(client: TestClient) -> None:
    new = client.post("/api/generate", json={"seed": "The ", "length": 9, "random_seed": 3})
    assert "deprecation" not in new.headers
    for stream in (False, True):
        old = {"prompt": "The ", "n": 9, "random_seed": 3, "stream": stream}
        answer = client.post("/api/generate", json=old)
        assert re.fullmatch(r"@\d+", answer.headers["deprecation"])  # RFC 9745
        if not stream:
            assert answer.json()["text"] == new.json()["text"]
    for both in ({"prompt": "a", "seed": "a"}, {"n": 5, "length": 5}):
        answer = client.post("/api/generate", json=both)
        assert answer.status_code == 422
        assert "is the old name of" in answer.json()["error"]
    described = client.get("/openapi.json").json()["components"]["schemas"]["Generate"]
    old_names = {n for n, field in described["properties"].items() if field.get("deprecated")}
    assert old_names == {"prompt", "n"}


def test_every_sampling_setting_is_offered(client: TestClient) -> None:
    """But those of which the service says itself that a request cannot have them."""
    offered = client.get("/api/settings").json().keys()
    schemas = client.get("/openapi.json").json()
    assert offered <= schemas["components"]["schemas"]["Generate"]["properties"].keys()
    classic = {one["name"] for one in schemas["paths"]["/"]["get"]["parameters"]}
    assert offered - {"length"} <= classic


def test_what_the_page_makes_controls_of(client: TestClient) -> None:
    settings = client.get("/api/settings").json()
    length, stop = settings["length"], settings["stop"]
    assert (length["minimum"], length["maximum"]) == (1, LIMITS.max_length)
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    assert settings["top_p"]["anyOf"] == [number, {"type": "null"}]
    assert (stop["type"], stop["items"]["type"], stop["default"]) == ("array", "string", [])
    assert settings["sample_mode"]["enum"] == ["sample", "argmax", "spaces"]
    assert settings["until_paragraph"]["group"] == "what is written"


def test_the_classic_form(client: TestClient, trained_dir: Path) -> None:
    model = textgen.load(trained_dir)
    for number, mode in enumerate(["argmax", "sample", "spaces"]):
        answer = client.get(f"/?prime=The&n=40&sample_mode={number}&random_seed=2")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == "The" + model.generate("The", 40, random_seed=2, sample_mode=mode)
    more = client.get("/?prime=The&n=40&random_seed=2&min_p=0.1&stop=a&stop=b&until_paragraph=true")
    settings = {"min_p": 0.1, "stop": ["a", "b"], "until_paragraph": True, "random_seed": 2}
    assert more.text == "The" + model.generate("The", 40, **settings)
    assert client.get("/?n=0").status_code == 422
    assert client.get("/?sample_mode=3").status_code == 422


def test_a_browser_gets_the_page_at_the_same_address(client: TestClient) -> None:
    accepts = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = client.get("/?prime=The&n=nonsense", headers=accepts)
    assert answer.status_code == 200
    assert "<!doctype html>" in answer.text
    for name in ("app.js", "style.css", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/static/index.html").status_code == 404, "it has one address"


def test_pages_name_no_other_host_and_hold_no_script_or_style() -> None:
    from textgen.server.app import STATIC

    for page in STATIC.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "http:" not in text.replace("http://www.w3.org", "")
        assert "https:" not in text
        assert "style=" not in text
        assert "<style" not in text
        assert " on" + "click" not in text
        assert text.count("<script") == text.count('<script type="module" src="/static/')


def test_security_headers(client: TestClient) -> None:
    for answer in (client.get("/healthz"), client.get("/nothing"), client.get("/static/app.js")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"length": -1}, "`length` must be at least 1. Received: -1"),
        ({"length": LIMITS.max_length + 1}, "`length` must be at most 2000. Received: 2001"),
        ({"length": "20"}, "`length` must be a valid integer"),
        ({"length": True}, "`length` must be a valid integer"),
        ({"seed": "a" * (LIMITS.max_seed_length + 1)}, "`seed` must have at most 5000 characters"),
        ({"seed": 7}, "`seed` must be a valid string"),
        ({"seed": None}, "`seed` must be a valid string"),
        ({"temperature": -1}, "`temperature` must be at least 0. Received: -1"),
        ({"temperature": [0.5, -2]}, "`temperature` must be at least 0. Received: -2"),
        ({"temperature": []}, "`temperature` must not be empty"),
        ({"temperature": "x"}, "`temperature` must be a valid number"),
        ({"top_p": 0}, "`top_p` must be above 0. Received: 0"),
        ({"top_k": 0}, "`top_k` must be at least 1. Received: 0"),
        ({"sample_mode": "dance"}, "`sample_mode` must be 'sample', 'argmax' or 'spaces'"),
        ({"stop": [""]}, "`stop` must not be empty"),
        ({"stop": ["a"] * 33}, "`stop` "),
        ({"random_seed": -1}, "`random_seed` must be at least 0. Received: -1"),
        ({"alternatives": 1000}, "`alternatives` must be at most 20. Received: 1000"),
        ({"force": ["☃"]}, "'☃' has a character"),
        ({"folder": "/etc"}, "`folder` is no setting here"),
        ({"beam_size": 3}, "`beam_size` is no setting here"),
        ({"diversity": 1}, "`diversity` is no setting here. Nearest: temperature"),
        ({"lenght": 3, "top_p": 2}, "`top_p` must be at most 1. Received: 2; `lenght` is no"),
    ],
)
def test_values_out_of_range_are_said_in_words(client: TestClient, change, problem) -> None:
    answer = client.post("/api/generate", json={"seed": "a", "length": 5} | change)
    assert answer.status_code == 422
    assert problem in (said := answer.json()["error"])
    assert "constrained" not in said


@pytest.mark.parametrize(
    "content",
    [
        b'{"temperature": NaN}', b'{"temperature": Infinity}', b'{"length": 1e400}', b"{", b"",
        b"[]", b'{"seed": "\xff"}', b"[" * 50_000, b'{"length": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_json_or_no_number_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post(
        "/api/generate", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_what_beginners_send_is_answered_plainly(client: TestClient) -> None:
    form = client.post("/api/generate", content=b'{"seed": "a"}')
    assert form.json()["error"].endswith("with the header Content-Type: application/json")
    typo = client.post("/api/generate", json={"sead": "a"})
    assert typo.json()["error"] == "`sead` is no setting here. Nearest: seed"
    headers = {"content-type": "application/json"}
    broken = client.post("/api/generate", content=b"{", headers=headers)
    assert broken.json()["error"].startswith("this is no JSON (Expecting property name")


def test_half_a_character_is_read_as_unknown(client: TestClient) -> None:
    content = b'{"seed": "\\ud800", "length": 5}'
    headers = {"content-type": "application/json"}
    assert client.post("/api/generate", content=content, headers=headers).status_code == 200


def test_models_are_named_and_nothing_else_can_be_opened(
    client: TestClient, trained_dir: Path
) -> None:
    content = client.get("/api/models").json()
    (model,) = content["models"]
    assert model["name"] == trained_dir.name
    assert (model["unit"], model["cell"], model["ready"]) == ("character", "lstm", True)
    assert str(trained_dir.parent) not in json.dumps(content)
    for name in ("nothing", "../" + trained_dir.name, str(trained_dir), "/etc/passwd"):
        answer = client.post("/api/generate", json={"model": name, "length": 5})
        assert answer.status_code == 404
        assert trained_dir.name in answer.json()["error"]
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_metrics_count_what_happens(client: TestClient, trained_dir: Path) -> None:
    client.post("/api/generate", json={"length": 30})
    client.post("/api/generate", json={"length": -1})
    lines = client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    route = 'method="POST",route="/api/generate"'
    assert float(values[f'textgen_requests_total{{{route},status="200"}}']) == 1
    assert float(values[f'textgen_requests_total{{{route},status="422"}}']) == 1
    model = f'{{model="{trained_dir.name}"}}'
    assert float(values[f"textgen_tokens_total{model}"]) == 30
    assert float(values[f"textgen_running{model}"]) == 0
    assert float(values[f"textgen_queued{model}"]) == 0
    assert float(values["textgen_first_piece_seconds_count"]) == 1


def test_a_key_is_asked_for(trained_dir: Path) -> None:
    settings = ServerSettings(api_key="sesame")
    with TestClient(build_app(Service([trained_dir], settings))) as client:
        for path in ("/api/models", "/metrics", "/?prime=a&n=5"):
            refused = client.get(path)
            assert refused.status_code == 401, path
            assert "Bearer" in refused.headers["www-authenticate"]
            wrong = client.get(path, headers={"authorization": "Bearer sesamo"})
            assert wrong.status_code == 401
            right = client.get(path, headers={"authorization": "Bearer sesame"})
            assert right.status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200


def test_a_key_may_have_any_letters(trained_dir: Path) -> None:
    settings = ServerSettings(api_key="schlüssel")
    with TestClient(build_app(Service([trained_dir], settings))) as client:
        header = {"authorization": "Bearer schlüssel".encode()}  # as curl sends it
        assert client.get("/metrics", headers=header).status_code == 200


def test_descriptions_name_no_flags(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    said = {name: field["description"] for name, field in schemas["Generate"]["properties"].items()}
    assert said["stop"] == "end before this text"
    assert not [words for words in said.values() if "--" in words or "flag" in words]


def test_production_says_less(trained_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for production, status in ((False, 200), (True, 404)):
        service = Service([trained_dir], ServerSettings(production=production))
        with TestClient(build_app(service), raise_server_exceptions=False) as client:
            assert client.get("/docs").status_code == status
            assert client.get("/openapi.json").status_code == status
            assert client.get("/static/docs.html").status_code == 404
            shown = client.get("/api/models").json()["documentation"]
            assert shown == (None if production else "/docs")
            with monkeypatch.context() as patched:
                patched.setattr(service, "find", lambda name: 1 / 0)
                broken = client.post("/api/generate", json={"length": 5})
            assert broken.status_code == 500
            assert ("ZeroDivisionError" in broken.json()["error"]) is not production
            assert client.get("/healthz").json() == {"status": "ok"}


def test_a_closing_service_says_so(trained_dir: Path) -> None:
    service = Service([trained_dir], LIMITS)
    with TestClient(build_app(service)) as client:
        service.close()
        answer = client.post("/api/generate", json={"length": 5})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert client.get("/healthz").json() == {"status": "closing"}


# --- documents and what is new ---


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A model of documents with labels, which knows two of them."""
    folder = tmp_path / "list"
    tokenizer = build_tokenizer(
        "<|x|>ab\n<|y|>ba", TokenizerSettings(documents="lines", pristine_input=True)
    )
    settings = ModelSettings(rnn_size=8)
    model = textgen.build_model(settings, len(tokenizer.vocabulary), 1)
    shares = {"<|endoftext|>": 0.3, "a": 0.3, "b": 0.4}
    biases = np.log([shares.get(token, 1e-9) for token in tokenizer.vocabulary])
    logits = model.get_layer("logits")
    logits.set_weights([np.zeros_like(logits.get_weights()[0]), biases])
    textgen.save(model, tokenizer, folder)
    (folder / "input.txt").write_text("<|x|>a\n<|y|>b\n")
    return folder


def test_a_document_that_is_new_with_a_label(documents: Path) -> None:
    with TestClient(build_app(Service([documents], LIMITS))) as client:
        (shown,) = client.get("/api/models").json()["models"]
        assert (shown["labels"], shown["line_starts"]) == (["x", "y"], [])
        wanted = {"length": 40, "label": "y"}
        seeds = range(40)
        texts = {
            client.post("/api/generate", json=wanted | {"random_seed": n}).json()["text"]
            for n in seeds
        }
        assert {"", "a", "b"} <= texts
        new = [
            client.post("/api/generate", json=wanted | {"random_seed": n, "new": True}).json()
            for n in seeds
        ]
        assert not {"", "a", "b"} & {answer["text"] for answer in new}
        assert {answer["finish_reason"] for answer in new} == {"stop"}
        again = textgen.load(documents)
        for number, answer in list(zip(seeds, new, strict=True))[:10]:
            expected = again.generate(length=40, label="y", random_seed=number, new=True)
            assert answer["text"] == expected
        streamed = client.post(
            "/api/generate", json=wanted | {"random_seed": 3, "new": True, "stream": True}
        )
        pieces = [data["text"] for name, data in events(streamed.text) if name == "piece"]
        assert pieces == [new[3]["text"]]
        never = client.post("/api/generate", json={"length": 1, "new": True})
        assert never.status_code == 422
        assert "nothing new was written in 100 tries" in never.json()["error"]
        (documents / "input.txt").unlink()
        missing = client.post("/api/generate", json=wanted | {"new": True})
        assert missing.status_code == 422
        assert missing.json()["error"] == (
            "`new` needs the training text, which this service does not have"
        )
        assert client.post("/api/generate", json={"label": "z"}).status_code == 422
