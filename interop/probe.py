#!/usr/bin/env python3
"""Sends odd Bolt frames to a SOFARPC server of Kitchen and prints what comes back: probe.py PORT [DIR | --compare DIR]

Each probe uses its own connection. With DIR, every request and answer is also written there as NAME.hex. With --compare,
answers are set against those in DIR, and what differs is printed unless DIFFERENCES says that it should; exit 1 then.
"""
import os
import socket
import struct
import sys
import zlib

SERVICE = "com.diwan.interop.Kitchen:1.0"
REQUEST = "com.alipay.sofa.rpc.core.request.SofaRequest"


def text(value):
    raw = value.encode()
    return (bytes([len(value)]) if len(value) < 32 else b"S" + struct.pack(">H", len(value))) + raw


def content(service, method, signatures, arguments):
    """SofaRequest as sofa-rpc-node writes it (requestProps null), then the arguments."""
    fields = ["methodName", "methodArgSigs", "targetServiceUniqueName", "targetAppName", "requestProps"]
    out = b"O\xbc" + REQUEST.encode() + bytes([0x90 + len(fields)]) + b"".join(map(text, fields)) + b"o\x90"
    out += text(method) + b"Vt\0\x07[stringn" + bytes([len(signatures)]) + b"".join(map(text, signatures)) + b"z"
    return out + text(service) + b"NN" + arguments


def head(entries):
    out = b""
    for key, value in entries.items():
        for part in (key, value):
            out += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part.encode())) + part.encode()
    return out


def frame(request_id, clazz=REQUEST, header=None, body=b"", kind=1, codec=1, timeout_ms=3000, version=1, crc=False, command=1):
    header = head({"service": SERVICE}) if header is None else header
    clazz = clazz.encode()
    out = bytes([version]) + (bytes([2 if crc else 1]) if version == 2 else b"")
    out += struct.pack(">BHBIB", kind, command, 1, request_id, codec)
    if version == 2:
        out += bytes([1 if crc else 0])
    out += struct.pack(">iHHI", timeout_ms, len(clazz), len(header), len(body)) + clazz + header + body
    return out + (struct.pack(">I", zlib.crc32(out)) if crc else b"")


def read_frame(connection):
    """One answer, or a word on why there is none."""
    data = b""
    try:
        while True:
            got = connection.recv(65536)
            if not got:
                return data or "closed"
            data += got
            base = 22 if data[0] == 2 else 20
            if len(data) >= base:
                sizes = struct.unpack(">HHI", data[base - 8:base])
                if len(data) >= base + sum(sizes):
                    return data
    except TimeoutError:
        return data or "silence"
    except OSError as error:
        return data or f"closed ({error})"


def printable(raw):
    return "".join(chr(b) if 32 <= b < 127 else "." for b in raw)


def describe(answer):
    if isinstance(answer, str):
        return answer
    v2 = answer[0] == 2
    at = 2 if v2 else 1
    kind, command, _, request_id, codec = struct.unpack(">BHBIB", answer[at:at + 9])
    at += 9 + (1 if v2 else 0)
    status, class_bytes, map_bytes, content_bytes = struct.unpack(">HHHI", answer[at:at + 10])
    at += 10
    clazz, entries, body = answer[at:at + class_bytes], answer[at + class_bytes:at + class_bytes + map_bytes], answer[at + class_bytes + map_bytes:]
    return (f"proto {answer[0]} type {kind} command {command} id {request_id} codec {codec} status {status:#x}\n"
            f"    class   {clazz.decode()}\n    header  {printable(entries)}\n    content {len(body)}: {printable(body[:700])}")


REVERSE = content(SERVICE, "reverse", ["java.lang.String"], text("abc"))
PROBES = {
    "plain": frame(1, body=REVERSE),
    "plain-v2": frame(2, body=REVERSE, version=2),
    "plain-v2-crc": frame(3, body=REVERSE, version=2, crc=True),
    "wrong-crc": frame(4, body=REVERSE, version=2, crc=True)[:-1] + b"\0",
    "heartbeat": struct.pack(">BBHBIBiHHI", 1, 1, 0, 1, 5, 1, 1000, 0, 0, 0),
    "unknown-class": frame(6, clazz="com.example.Nothing", body=REVERSE),
    "unknown-codec": frame(7, codec=99, body=REVERSE),
    "garbage-content": frame(8, body=b"\xff\xfe\xfd\xfc\xfb"),
    "empty-content": frame(9, body=b""),
    "no-header": frame(10, header=b"", body=REVERSE),
    "service-only-in-body": frame(11, header=head({"sofa_head_method_name": "reverse"}), body=REVERSE),
    "service-of-header-differs": frame(12, header=head({"service": "com.diwan.interop.Nowhere:1.0"}), body=REVERSE),
    "target-service-of-header-differs": frame(13, header=head({"service": SERVICE, "sofa_head_target_service": "com.diwan.interop.Nowhere:1.0"}), body=REVERSE),
    "null-header-value": frame(14, header=head({"service": SERVICE, "extra": None}), body=REVERSE),
    "missing-argument": frame(15, body=content(SERVICE, "reverse", ["java.lang.String"], b"")),
    "extra-bytes": frame(16, body=REVERSE + b"N\x91"),
    "wrong-type": frame(17, body=content(SERVICE, "nextInt", ["int"], text("seven"))),
    "null-for-primitive": frame(18, body=content(SERVICE, "nextInt", ["int"], b"N")),
    "long-for-int": frame(19, body=content(SERVICE, "nextInt", ["int"], b"\xe1")),
    "int-for-long": frame(20, body=content(SERVICE, "nextLong", ["long"], b"\x91")),
    "boxed-signature": frame(21, body=content(SERVICE, "nextInt", ["java.lang.Integer"], b"\x91")),
    "no-signatures": frame(22, body=content(SERVICE, "counter", [], b"")),
    "unknown-signature-class": frame(23, body=content(SERVICE, "reverse", ["com.example.Nothing"], text("abc"))),
    "unknown-object-class": frame(24, body=content(SERVICE, "pair", ["java.lang.Object", "java.lang.Object"],
                                                   b"O\xa3com.example.Nothing\x91\x01xo\x91\x97N")),
    "extra-field": frame(25, body=content(SERVICE, "exchange", ["com.diwan.interop.Tool"],
                                          b"O\xa5com.diwan.interop.Pan\x93\x0adiameterCm\x03lid\x05extrao\x91\xacT\x01x")),
    "missing-field": frame(26, body=content(SERVICE, "exchange", ["com.diwan.interop.Tool"],
                                            b"O\xa5com.diwan.interop.Pan\x91\x03lido\x91T")),
    "map-for-object": frame(27, body=content(SERVICE, "exchange", ["com.diwan.interop.Tool"],
                                             b"Mt\0\x15com.diwan.interop.Pan\x0adiameterCm\xac\x03lidTz")),
    "oneway": frame(28, kind=2, body=REVERSE),
    "oneway-unknown-method": frame(29, kind=2, body=content(SERVICE, "fry", [], b"")),
    "timeout-zero": frame(30, body=REVERSE, timeout_ms=0),
    "timeout-negative": frame(31, body=REVERSE, timeout_ms=-1),
    "slower-than-timeout": frame(32, body=content(SERVICE, "slow", ["java.lang.String", "long"], text("x") + b"\x77\0\0\x01\x2c"), timeout_ms=100),
    "command-response": frame(33, command=2, body=REVERSE),
    "command-unknown": frame(34, command=9, body=REVERSE),
    "not-bolt": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "echo-of-framework": frame(35, body=content(SERVICE, "$echo", ["java.lang.Object"], text("abc"))),
    "object-method": frame(36, body=content(SERVICE, "toString", [], b"")),
    "version-missing": frame(37, header=head({"service": "com.diwan.interop.Kitchen"}), body=content("com.diwan.interop.Kitchen", "counter", [], b"")),
    "blacklisted-class": frame(38, body=content(SERVICE, "pair", ["java.lang.Object", "java.lang.Object"],
                                                b"O\xadcom.sun.rowset.JdbcRowSetImpl\x91\x01xo\x91\x97N")),
}

# Where Diwan's answers are other than those of SOFARPC's server on purpose.
DIFFERENCES = {
    "no-header": "the service stands in the body as well",
    "service-only-in-body": "the service stands in the body as well",
    "null-for-primitive": "null is the type's zero, so the method runs; SOFARPC answers null without running it",
    "boxed-signature": "there is one method of that name and number of arguments, and the argument fits",
    "unknown-signature-class": "there is one method of that name and number of arguments, and the argument fits",
    "no-signatures": "the counter's value",
    "unknown-object-class": "a class that nobody knows is data: it goes back as it came",
    "blacklisted-class": "a class is never made from its name, so it is data like any other",
    "command-response": "an answer, status 6 (no processor), instead of silence",
    "command-unknown": "an answer, status 6 (no processor), and the connection lives on",
}


def essence(answer):
    """What of an answer has to be the same: all of it, but for failures, whose exception and its stack trace are the server's."""
    if isinstance(answer, str):
        return answer
    lines = describe(answer).split("\n")
    return "\n".join(lines[:3]) if b"RpcServerException" in answer else answer.hex()


def recorded(directory, name):
    with open(os.path.join(directory, name + ".hex")) as file:
        last = file.read().splitlines()[-1]
    return bytes.fromhex(last[2:]) if last.startswith("< ") else last.removeprefix("# < ")


def compare(port, directory):
    wrong = 0
    for name, request in PROBES.items():
        expected, got = recorded(directory, name), ask(port, request)
        is_same = essence(expected) == essence(got)
        if is_same == (name not in DIFFERENCES):
            print(f"ok {name}" + ("" if is_same else f": {DIFFERENCES[name]}"))
        elif is_same:
            print(f"WRONG {name}: no difference any more")
            wrong += 1
        else:
            print(f"WRONG {name}:\nexpected {describe(expected)}\nbut got {describe(got)}")
            wrong += 1
    return wrong


def ask(port, request):
    with socket.create_connection(("127.0.0.1", port), timeout=1.5) as connection:
        connection.sendall(request)
        return read_frame(connection)


def main():
    port = int(sys.argv[1])
    if "--compare" in sys.argv:
        sys.exit(1 if compare(port, sys.argv[3]) else 0)
    directory = sys.argv[2] if len(sys.argv) > 2 else None
    for name, request in PROBES.items():
        answer = ask(port, request)
        print(f"{name}: {describe(answer)}")
        if directory:
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, name + ".hex"), "w") as out:
                out.write(f"# probe {name}: > from probe.py, < from the server\n> {request.hex()}\n")
                out.write(f"< {answer.hex()}\n" if isinstance(answer, bytes) else f"# < {answer}\n")


if __name__ == "__main__":
    main()
