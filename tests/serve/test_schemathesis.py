"""schemathesis over a running server, by the document that this gives of itself."""

import logging
from collections import Counter

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis import GenerationMode, checks  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from hclx.serve.server import build_app  # noqa: E402
from tests.helpers.serving import described_backend, served  # noqa: E402

CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
MODES = {
    GenerationMode.POSITIVE: CHECKS,
    GenerationMode.NEGATIVE: [*CHECKS, negative_data_rejection],
}


def check_operation(operation, mode, n_examples, statuses):
    """Sends requests that follow the schema of an operation, or do not."""

    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        response = case.call(timeout=300)
        case.validate_response(response, checks=MODES[mode])
        statuses[response.status_code] += 1

    try:
        send()
    except Unsatisfiable:  # nothing about a request without fields is wrong
        assert mode is GenerationMode.NEGATIVE and operation.method == "get"


@pytest.mark.parametrize("n_examples", [2, pytest.param(100, marks=pytest.mark.long)])
def test_answers_are_those_of_the_document(engine, n_examples):
    logging.getLogger("hclx.serve").setLevel(logging.ERROR)
    app, statuses = build_app(described_backend(engine)), {mode: Counter() for mode in MODES}
    with served(app) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()
            # The paths of older clients of CLOVA Studio have the handlers of the others.
            if not operation.path.startswith(("/testapp", "/serviceapp")):
                for mode, counts in statuses.items():
                    check_operation(operation, mode, n_examples, counts)
        admission = app.state.service.admission
        assert admission.n_running == admission.n_waiting == 0
    right, wrong = statuses.values()
    assert right[200] > right.total() / 10
    assert set(wrong) <= {400, 404, 405, 415}
