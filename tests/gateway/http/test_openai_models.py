"""/v1/models and /v1/models/{id} in the shape of the OpenAI dialect."""

from tests.support.fake_gateway import model_info


def test_models(http, gateway):
    gateway.models = [model_info("tiny"), model_info("org/other")]
    body = http.get("/v1/models").json()
    assert body == {"object": "list", "data": [
        {"id": name, "object": "model", "created": 0, "owned_by": "mlx-warden"} for name in ("tiny", "org/other")]}
    assert http.get("/v1/models/org/other").json() == body["data"][1]
    assert http.get("/v1/models/").json() == body
    response = http.get("/v1/models/nobody")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
