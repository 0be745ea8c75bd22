#!/usr/bin/env python3
"""kitchen_client.py HOST PORT N [--only A,B] [--skip A,B] [--seed S]: anthunder's clients against PbKitchen (Bolt, codec 11).

Prints "ok NAME" or "WRONG NAME: why"; exit 1 if one is wrong. DIWAN_MARKS=HOST:PORT tells a recording proxy the next case.
"""
import argparse
import concurrent.futures
import logging
import os
import random
import socket
import sys
import time

from anthunder import SERVICE_MAP, AioClient, Client
from anthunder.exceptions import ServerError
from mytracer import SpanContext

import pb_kitchen_pb2 as pb
from kitchen import SERVICE, cook

# anthunder logs every refused call; what matters is raised as well. No mesh agent is expected on 127.0.0.1:13330.
logging.disable(logging.CRITICAL)


def sample(rng):
    text = lambda length: "".join(chr(rng.choice([0x20 + rng.randrange(95), 0x4E00 + rng.randrange(0x5000), 0x1F300 + rng.randrange(0x200)]))
                                  for _ in range(rng.randrange(length)))
    return pb.CookRequest(
        dish=text(60) + "x", portions=rng.randrange(-2**31, 2**31 - 1), raw=rng.randbytes(rng.randrange(4000)),
        notes=[text(20) for _ in range(rng.randrange(5))], counts={text(8): rng.randrange(2**62) for _ in range(rng.randrange(4))},
        weight_kg=rng.random(), heat=rng.randrange(3), side=pb.CookRequest(dish=text(9)))


class Cases:
    def __init__(self, address, calls, seed):
        SERVICE_MAP[SERVICE] = address
        SERVICE_MAP["com.diwan.interop.Nowhere:1.0"] = address
        self.address = address
        self.calls = calls
        self.seed = seed
        self.aio = AioClient("diwan-interop")
        self.sock = Client("diwan-interop")

    def ask(self, client, method, request, timeout_ms=3000, service=SERVICE):
        content = client.invoke_sync(service, method, request.SerializeToString(), spanctx=SpanContext(), timeout_ms=timeout_ms)
        reply = pb.CookReply()
        reply.ParseFromString(content)
        return reply

    def check(self, client, request):
        expected, got = cook(request), self.ask(client, "cook", request)
        assert got == expected, f"expected {expected} but got {got}"

    def aio_cook(self):
        self.check(self.aio, sample(random.Random(1)))

    def sock_cook(self):
        self.check(self.sock, sample(random.Random(2)))

    def large(self):
        # Above what one read of a socket brings.
        self.check(self.aio, pb.CookRequest(dish="large", raw=bytes(range(256)) * 8000))

    def future(self):
        request = sample(random.Random(3))
        got = self.aio.invoke_async(SERVICE, "cook", request.SerializeToString(), spanctx=SpanContext(), timeout_ms=3000).result(3)
        reply = pb.CookReply()
        reply.ParseFromString(got.content)
        assert reply == cook(request)

    def overtaking(self):
        """Two calls under way on one connection."""
        order = []
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, delay_ms in (("slow", 600), ("quick", 1)):
                pool.submit(lambda n=name, d=delay_ms: order.append((n, self.ask(self.aio, "slow", pb.CookRequest(dish=n, portions=d)).dish)))
                time.sleep(0.05)
        assert order == [("quick", "kciuq"), ("slow", "wols")], order

    def error(self):
        """The text of the exception is the content, the header says that it is an error; anthunder hands the content on as it is."""
        content = self.sock.invoke_sync(SERVICE, "refuse", pb.CookRequest(dish="fish").SerializeToString(), spanctx=SpanContext(), timeout_ms=3000)
        assert content == b"no fish", content

    def unknown_method(self):
        """SOFARPC refuses it while decoding, status 0x12; an answer that says so is as good."""
        try:
            content = self.sock.invoke_sync(SERVICE, "fry", pb.CookRequest(dish="fish").SerializeToString(), spanctx=SpanContext(), timeout_ms=3000)
        except ServerError:
            return
        assert b"fry" in content, content

    def timeout(self):
        start = time.monotonic()
        try:
            self.ask(self.aio, "slow", pb.CookRequest(dish="late", portions=1200), timeout_ms=500)
        except concurrent.futures.TimeoutError:
            took = time.monotonic() - start
            assert 0.45 <= took < 1.1, took
        else:
            raise AssertionError("an answer")
        self.check(self.aio, pb.CookRequest(dish="on time"))
        time.sleep(1)
        self.check(self.aio, pb.CookRequest(dish="after it"))

    def heartbeat(self):
        """anthunder itself expects a class name in the acknowledgement, which no other server sends: read it off the socket."""
        from anthunder.command.heartbeat import HeartbeatRequest
        from anthunder.protocol import BoltResponse
        request = HeartbeatRequest.new_request()
        with socket.create_connection(self.address, timeout=2) as connection:
            connection.sendall(request.to_stream())
            header = BoltResponse.bolt_header_from_stream(connection.recv(BoltResponse.bolt_header_size(), socket.MSG_WAITALL))
        assert (header["cmdcode"], header["ptype"], header["respstatus"], header["request_id"]) == (0, 0, 0, request.request_id), header

    def rotation(self):
        rng = random.Random(self.seed)
        for number in range(self.calls):
            try:
                self.check(self.aio if number % 3 else self.sock, sample(rng))
            except Exception as error:
                raise AssertionError(f"call {number} of seed {self.seed}: {error!r}") from error

    def concurrent(self):
        requests = [sample(random.Random(f"{self.seed}-{number}")) for number in range(100)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda request: self.check(self.aio, request), requests))


def tell_recorder(name):
    if "DIWAN_MARKS" in os.environ:
        host, port = os.environ["DIWAN_MARKS"].split(":")
        with socket.create_connection((host, int(port))) as control:
            control.sendall(name.encode() + b"\n")
            control.recv(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("calls", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--skip", default="")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    cases = Cases((args.host, args.port), args.calls, args.seed)
    names = ["aio_cook", "sock_cook", "large", "future", "overtaking", "error", "unknown_method", "timeout", "heartbeat", "concurrent", "rotation"]
    only, skip = set(filter(None, args.only.split(","))), set(filter(None, args.skip.split(",")))
    if unknown := (only | skip) - set(names):
        sys.exit(f"no such case: {unknown}; there are {names}")
    wrong = ran = 0
    for name in names:
        if name in skip or only and name not in only:
            continue
        tell_recorder(name)
        ran += 1
        try:
            getattr(cases, name)()
            print("ok " + name)
        except Exception as error:
            wrong += 1
            print(f"WRONG {name}: {error!r}"[:400].replace("\n", " "))
    print(f"{ran} cases, {wrong} wrong")
    sys.stdout.flush()
    # anthunder's threads would keep the process.
    os._exit(0 if ran and not wrong else 1)


if __name__ == "__main__":
    main()
