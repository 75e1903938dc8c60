"""The whole document of the REST API, exercised: requests that fit it and requests that do not, with a token, without one and
with a wrong one. Nothing may be the server's failure, and every answer must be as the document says: status, type, schema.

What each endpoint does is tested elsewhere (tests/web/rest); here it is that the document tells the truth. The requests
are the same on every run.
"""

import copy
import json
import pathlib
import zlib

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    positive_data_acceptance,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "src" / "http" / "rest" / "openapi.json"
# Requests for each operation; beside them come those that schemathesis makes of every part of a schema.
EXAMPLES_MAX = 12
ANSWER_SECONDS_MAX = 30
# After these the token is void.
ENDING = {"logout", "revokeAll", "revoke"}
# Who and what is there to be found.
KNOWN = {"user": "bob", "to": "bob@localhost", "receiver": "bob@localhost", "sender": "alice", "room": "lobby", "jid": "bob", "username": "alice"}


def document(mode):
    told = json.loads(DOCUMENT.read_text())
    free = []
    for operation in (operation for path in told["paths"].values() for operation in path.values()):
        # Any text is a text.
        parameters = operation.get("parameters", [])
        is_free = all(one["in"] == "path" and one["schema"] == {"type": "string"} for one in parameters)
        if is_free and "requestBody" not in operation:
            free.append(operation["operationId"])
        if mode is GenerationMode.NEGATIVE:
            # A token is what `ask` shows: the lack of one is no way not to fit.
            operation["security"] = []
    loaded = schemathesis.openapi.from_dict(told)
    loaded.config.generation.update(modes=[mode])
    return loaded.exclude(operation_id=free) if mode is GenerationMode.NEGATIVE else loaded


def fixed(**more):
    """The same requests on every run, however long they take."""
    return settings(
        max_examples=EXAMPLES_MAX, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), **more,
    )


fitting, anonymous = document(GenerationMode.POSITIVE), document(GenerationMode.POSITIVE)
unfitting = document(GenerationMode.NEGATIVE)


def find_something(parts):
    """Half of the requests ask for what is there: random names find nothing."""
    if not isinstance(parts, dict):
        return parts
    return {
        name: KNOWN[name] if name in KNOWN and isinstance(value, str) and zlib.crc32(value.encode("utf-8", "replace")) % 2
        else value
        for name, value in parts.items()
    }


@fitting.hook
def map_query(context, query):
    return find_something(query)


@fitting.hook
def map_path_parameters(context, path_parameters):
    return find_something(path_parameters)


@fitting.hook
def map_body(context, body):
    return find_something(body)


@pytest.fixture(scope="session")
def tokens(server, account, neighbour):
    """Gives a token that is good."""
    class Tokens:
        current = None

        def get(self):
            self.current = self.current or server.login(*account)
            return self.current

    return Tokens()


def ask(server, case, token):
    """Makes the request; of a stream, the first of it is the answer."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    made = case.as_transport_kwargs(base_url=server.url, headers=headers)
    with requests.Session() as session:
        answer = session.request(**made, stream=True, verify=str(server.certificate), timeout=ANSWER_SECONDS_MAX)
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            answer._content = next(answer.iter_content(None), b"")
            answer._content_consumed = True
        else:
            answer.content  # noqa: B018 - read before the connection is closed
        return answer


def judge(server, case, answer, *but):
    # These ask again by themselves; requests without a token are made below.
    excluded = [ignored_auth, missing_required_header, *but]
    if answer.status_code == 501:
        # What is reserved says so, and the document says that it does.
        excluded.append(not_a_server_error)
    case.validate_response(answer, excluded_checks=excluded)


@fitting.parametrize()
@fixed()
def test_what_fits_the_document_is_answered_as_it_says(case, server, tokens):
    answer = ask(server, case, tokens.get())
    if case.operation.definition.raw["operationId"] in ENDING:
        tokens.current = None
    judge(server, case, answer, positive_data_acceptance)


@unfitting.parametrize()
@fixed()
def test_what_does_not_fit_is_refused_as_it_says(case, server, tokens):
    answer = ask(server, case, tokens.get())
    if case.operation.definition.raw["operationId"] in ENDING:
        tokens.current = None
    judge(server, case, answer, positive_data_acceptance)


@anonymous.parametrize()
@fixed()
def test_without_a_good_token_nothing_is_done(case, server):
    is_guarded = bool(case.operation.definition.raw["security"])
    for token in (None, "a" * 32):
        answer = ask(server, case, token)
        judge(server, case, answer, positive_data_acceptance)
        assert not is_guarded or answer.status_code == 401, answer.text


@pytest.mark.parametrize("lie", ["a field that is not there", "a status that never comes"])
def test_a_document_that_does_not_tell_the_truth_is_found_out(server, tokens, lie):
    told = json.loads(DOCUMENT.read_text())
    responses = told["paths"]["/api/roster"]["get"]["responses"]
    if lie == "a field that is not there":
        schema = responses["200"]["content"]["application/json"]["schema"]
        schema["required"] = [*schema["required"], "nothing"]
    else:
        responses["204"] = responses.pop("200")
    for document, is_true in ((told, False), (json.loads(DOCUMENT.read_text()), True)):
        loaded = schemathesis.openapi.from_dict(copy.deepcopy(document))
        case = loaded["/api/roster"]["GET"].Case()
        answer = ask(server, case, tokens.get())
        assert answer.status_code == 200, answer.text
        if is_true:
            judge(server, case, answer)
        else:
            with pytest.raises(FailureGroup):
                judge(server, case, answer)
