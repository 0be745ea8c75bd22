#!/usr/bin/env python3
"""A TCP proxy that writes the Bolt frames passing through it into one text file per case.

    record.py LISTEN TARGET CONTROL DIR --from NAME --to NAME

LISTEN, TARGET and CONTROL are ports on 127.0.0.1. A client of the interop cases tells the control port the name of
the case that comes next (one line; it waits until the connection is closed). Each case becomes DIR/CASE.hex: comment
lines, then frames in the order of their arrival, "> " from the client and "< " from the server. Frames above
FRAME_BYTES_MAX, and those that would make a file exceed FILE_BYTES_MAX, are named in a comment instead. Heartbeats are
kept only in cases with "heartbeat" in their name. Ctrl-C or SIGTERM ends it.
"""
import argparse
import hashlib
import os
import re
import signal
import socket
import struct
import threading

FRAME_BYTES_MAX = 6_000
FILE_BYTES_MAX = 10_000


def frame_bytes(buffer):
    """The length of the first frame of the buffer, or None while its header is incomplete."""
    if not buffer:
        return None
    if buffer[0] not in (1, 2):
        raise ValueError(f"not a Bolt frame: {bytes(buffer[:8]).hex()}")
    v2 = buffer[0] == 2
    if len(buffer) < (3 if v2 else 2):
        return None
    request = buffer[2 if v2 else 1] in (1, 2)
    header = (22 if request else 20) + (2 if v2 else 0)
    if len(buffer) < header:
        return None
    class_bytes, map_bytes, content_bytes = struct.unpack(">HHI", buffer[header - 8:header])
    crc = 4 if v2 and buffer[1] == 2 and buffer[11] & 1 else 0
    return header + class_bytes + map_bytes + content_bytes + crc


class Recorder:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.case = None
        self.frames = []

    def next_case(self, name):
        with self.lock:
            self.write()
            self.case, self.frames = name, []

    def add(self, mark, frame):
        heartbeat = frame[2:4] == b"\0\0" if frame[0] == 1 else frame[3:5] == b"\0\0"
        with self.lock:
            if self.case is not None and (not heartbeat or "heartbeat" in self.case):
                self.frames.append((mark, frame))

    def write(self):
        if self.case is None or not self.frames:
            return
        lines = [f"# case {self.case}: > from {self.args.source}, < from {self.args.to}"]
        total = 0
        for mark, frame in self.frames:
            if len(frame) > FRAME_BYTES_MAX or total + len(frame) > FILE_BYTES_MAX:
                lines.append(f"# {mark} left out: {len(frame)} bytes, sha256 {hashlib.sha256(frame).hexdigest()}")
            else:
                total += len(frame)
                lines.append(f"{mark} {frame.hex()}")
        os.makedirs(self.args.dir, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.case)
        with open(os.path.join(self.args.dir, name + ".hex"), "w") as out:
            out.write("\n".join(lines) + "\n")

    def pump(self, source, sink, mark):
        buffer = bytearray()
        try:
            while data := source.recv(1 << 16):
                buffer += data
                # Noted before it is passed on, so that a case is complete when its client goes on.
                while (length := frame_bytes(buffer)) is not None and len(buffer) >= length:
                    self.add(mark, bytes(buffer[:length]))
                    del buffer[:length]
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def control(self, listener):
        while True:
            connection, _ = listener.accept()
            with connection:
                name = connection.makefile().readline().strip()
                if name:
                    self.next_case(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listen", type=int)
    parser.add_argument("target", type=int)
    parser.add_argument("control", type=int)
    parser.add_argument("dir")
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--to", required=True)
    recorder = Recorder(parser.parse_args())
    args = recorder.args

    control = socket.create_server(("127.0.0.1", args.control))
    threading.Thread(target=recorder.control, args=(control,), daemon=True).start()

    def stop(*_):
        recorder.next_case(None)
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    listener = socket.create_server(("127.0.0.1", args.listen))
    print(f"recording 127.0.0.1:{args.listen} -> 127.0.0.1:{args.target}", flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", args.target))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=recorder.pump, args=(client, server, ">"), daemon=True).start()
        threading.Thread(target=recorder.pump, args=(server, client, "<"), daemon=True).start()


if __name__ == "__main__":
    main()
