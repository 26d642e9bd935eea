"""The description of the verifier: valid, whole, and of one mind with the code and the manual."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from tests.dataplane import call
from verifier.api import answers, openapi, openapi_parts
from verifier.contract.codes import Code
from verifier.contract.question import FIELDS

ROOT = Path(__file__).resolve().parents[2]


def test_is_served_to_everybody() -> None:
    answer = call("/v1/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == json.loads(json.dumps(openapi.document()))
    assert call("/v1/openapi.json", "HEAD").body == b""
    posted = call("/v1/openapi.json", "POST")
    assert (posted.status, posted.headers["Allow"]) == (405, "GET, HEAD")


def test_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(openapi.document()).validate()


def test_names_every_member_of_a_question() -> None:
    assert set(openapi_parts.QUESTION["properties"]) == FIELDS


@pytest.mark.parametrize("code", Code)
def test_every_code_stands_in_the_description_and_in_the_manual(code: Code) -> None:
    schemas = openapi_parts.SCHEMAS
    assert code.value in schemas["Code"]["enum"]
    assert f"`{code.value}`" in schemas["Code"]["description"]
    if code is Code.VALID:
        return
    assert code.value in schemas["Problem"]["properties"]["code"]["enum"]
    row = re.compile(rf"^\|[^|]*`{code.value}`[^|]*\| {code.status} \|", re.MULTILINE)
    assert row.search((ROOT / "docs/verifier.md").read_text())


def test_every_reference_leads_somewhere_and_every_status_has_a_reason() -> None:
    document = openapi.document()
    for text in re.findall(r'"#/([^"]+)"', json.dumps(document)):
        part: Any = document
        for name in text.split("/"):
            part = part[name]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert {int(status) for status in operation["responses"]} <= set(answers.REASONS), path


def test_examples_fit_their_schemas() -> None:
    n_seen = 0
    document = openapi.document()
    for schema, example in _examples(document):
        whole = {**schema, "components": {"schemas": document["components"]["schemas"]}}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)
        n_seen += 1
    for field in openapi_parts.FIELDS.values():
        assert re.search(field["schema"]["pattern"], field["example"])
    assert n_seen > 20


def _examples(part: Any) -> list[tuple[Any, Any]]:
    """Every example of a body, with its schema."""
    if isinstance(part, list):
        return [found for one in part for found in _examples(one)]
    if not isinstance(part, dict):
        return []
    found = [pair for one in part.values() for pair in _examples(one)]
    if "schema" in part and "example" in part and "description" not in part:
        found.append((part["schema"], part["example"]))
    if "schema" in part and "examples" in part:
        found += [(part["schema"], example["value"]) for example in part["examples"].values()]
    return found
