#!/usr/bin/env python3
"""mesh_client.py MOSN ADMIN SERVICE_PORT: anthunder publishes and subscribes through a node's local API for applications without a
registry client, and calls what it found. MOSN and ADMIN are HOST:PORT.

Prints "ok NAME" or "WRONG NAME: why"; exit 1 if one is wrong.
"""
import json
import logging
import sys
import time
import urllib.parse
import urllib.request

from anthunder import SERVICE_MAP, AioClient, AioListener, Client
from anthunder.mesh.mesh_client import ApplicationInfo, MeshClient
from mytracer import SpanContext

import pb_kitchen_pb2 as pb
from kitchen import SERVICE, cook
from kitchen_server import PbKitchen

logging.disable(logging.CRITICAL)
mosn, admin, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
# anthunder looks for its sidecar at 127.0.0.1:13330 only.
MeshClient._server = f"http://{mosn}/{{}}".format


def instances():
    url = f"http://{admin}/registry/v1/instances?" + urllib.parse.urlencode({"service": SERVICE})
    try:
        with urllib.request.urlopen(url) as answer:
            return [data for one in json.load(answer)["instances"] for data in one["data"]]
    except urllib.error.HTTPError:
        return []


def until(what, wanted):
    end = time.monotonic() + 10
    while (got := what()) != wanted:
        assert time.monotonic() < end, f"expected {wanted} but got {got}"
        time.sleep(0.02)


listener = AioListener(("127.0.0.1", port), "kitchen")
listener.handler.register_interface(SERVICE, PbKitchen)
address = f"127.0.0.1:{port}?p=1&v=4.0&_SERIALIZETYPE=protobuf&app_name=kitchen"
mesh = MeshClient(ApplicationInfo("guest"))


def publish():
    assert listener._mesh_client, "no sidecar"
    listener.run_threading()
    listener.publish()
    until(instances, [address])


def subscribe():
    assert mesh.startup()
    said = mesh.subscribe(SERVICE)
    assert said["datas"] == [address], said
    host, _, rest = said["datas"][0].partition(":")
    # A sidecar would carry the calls; this one only tells where they go.
    SERVICE_MAP[SERVICE] = (host, int(rest.partition("?")[0]))


def call():
    for client in AioClient("guest"), Client("guest"):
        request = pb.CookRequest(dish="noodles", portions=3)
        said = client.invoke_sync(SERVICE, "cook", request.SerializeToString(), spanctx=SpanContext(), timeout_ms=3000)
        assert pb.CookReply.FromString(said) == cook(request)


def clients_subscribe():
    client = AioClient("guest")
    assert client._mesh_client, "no sidecar"
    # It keeps an address once it has one.
    SERVICE_MAP.pop(SERVICE)
    client.subscribe(SERVICE)
    assert SERVICE_MAP[SERVICE] == client.mesh_service_address
    client.unsubscribe(SERVICE)
    assert SERVICE not in SERVICE_MAP


def unpublish():
    listener.unpublish()
    until(instances, [])
    assert mesh.subscribe(SERVICE)["datas"] == []
    mesh.unsubscribe(SERVICE)


def refused():
    try:
        mesh.subscribe("")
    except Exception as error:
        assert "serviceName is missing" in str(error), error
    else:
        assert False, "taken"


wrong = 0
for case in publish, subscribe, call, clients_subscribe, unpublish, refused:
    try:
        case()
        print("ok", case.__name__, flush=True)
    except Exception as error:
        wrong += 1
        print(f"WRONG {case.__name__}: {type(error).__name__}: {error}", flush=True)
sys.stdout.flush()
sys.exit(1 if wrong else 0)
