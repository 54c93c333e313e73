"""The clients of `notebooks/clients` as policies."""

from __future__ import annotations

from clients.three_regions import MODELS, RegionRouter
from clients.tiered_client import DescribedClient, TieredClient, tier_of


def three_regions(**options):
    """The router over three regions with these options."""

    def factory(transport):
        router = RegionRouter(**options)

        async def handle(request):
            return await router.complete(request.messages, MODELS[request.tier or "economy"])

        return handle

    return factory


three_regions_as_written = three_regions()
three_regions_without_sdk_retries = three_regions(max_retries=0)


def tiered(transport, *, kind=TieredClient, **options):
    """One tiered client for all requests, which never looks at the transport."""
    client = kind(**options)

    def handle(request):
        return client.complete(request.messages, request.tier or tier_of(request.complexity))

    return handle


def tiered_as_described(transport, **options):
    """The tiered client that is described."""
    return tiered(transport, kind=DescribedClient, **options)
