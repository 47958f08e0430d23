"""The lists of models of the OpenAI dialect: /v1/models and /v1/models/{id}.

`created` is when the weights were last changed, 0 where there are no files.
"""

from gateway import VERSION, protocol
from gateway.http.asking import who_asks
from gateway.http.call import Call
from gateway.http.model_files import modified_s

OWNER = "mlx-warden"
MAKER = f"{OWNER}-{VERSION}"  # of an answer, in its fingerprint


def model_object(info: protocol.ModelInfo) -> dict[str, object]:
    return {"id": info.name, "object": "model", "created": int(modified_s(info.path)), "owned_by": OWNER}


async def models(call: Call) -> None:
    listed = await call.services.client.list_models(**who_asks(call))
    await call.reply_json({"object": "list", "data": [model_object(info) for info in listed]})


async def model(call: Call) -> None:
    name = call.scope["path_params"]["name"]
    if not name:  # /v1/models/
        await models(call)
        return
    await call.reply_json(model_object(await call.services.client.show(name, **who_asks(call))))
