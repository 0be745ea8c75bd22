#!/usr/bin/env python3
"""kitchen_server.py PORT: PbKitchen by anthunder on 127.0.0.1, protobuf only."""
import logging
import sys
import time

from anthunder import AioListener
from anthunder.listener.base_listener import BaseService

import pb_kitchen_pb2 as pb
from kitchen import SERVICE, cook

logging.disable(logging.CRITICAL)


class PbKitchen(BaseService):
    def cook(self, content):
        return cook(pb.CookRequest.FromString(content)).SerializeToString()

    def refuse(self, content):
        raise ValueError("no " + pb.CookRequest.FromString(content).dish)

    def slow(self, content):
        request = pb.CookRequest.FromString(content)
        time.sleep(request.portions / 1000)
        return cook(request).SerializeToString()


def main():
    port = int(sys.argv[1])
    listener = AioListener(("127.0.0.1", port), "diwan-interop")
    listener.handler.register_interface(SERVICE, PbKitchen)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    listener.run_forever()


if __name__ == "__main__":
    main()
