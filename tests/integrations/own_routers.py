"""Policies as users of litellm write them: with a Router of their own, at the addresses of their world."""

from __future__ import annotations

MODELS = [
    {
        "model_name": group,
        "litellm_params": {
            "model": f"openai/model-of-{name}",
            "api_base": f"https://{name}.example/v1",
            "api_key": "k",
        },
    }
    for group, name in (("chat", "main"), ("spare", "spare"))
]


def asyncio_router(transport):
    import litellm

    router = litellm.Router(model_list=MODELS, num_retries=1, fallbacks=[{"chat": ["spare"]}])

    async def handle(request):
        answer = await router.acompletion(model="chat", messages=request.messages)
        return answer.choices[0].message.content

    return handle


def blocking_router(transport):
    import litellm

    router = litellm.Router(model_list=MODELS, num_retries=1, fallbacks=[{"chat": ["spare"]}])

    def handle(request):
        answer = router.completion(model="chat", messages=request.messages)
        return answer.choices[0].message.content

    return handle
