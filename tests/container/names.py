"""A name server for one name: says that NAME is at 127.0.0.1, and that there is nothing else.

    names.py NAME        answers on 127.0.0.1:53 (UDP) until it is ended

The image has no /etc/nsswitch.conf and no library that looks names up; this shows that the static program does so.
"""

import socket
import struct
import sys

A, IN, NAME_ERROR = 1, 1, 3
POINTER_TO_QUESTION = 0xC00C


def answer(query: bytes, known: str) -> bytes | None:
    """The answer to a query with one question (RFC 1035, section 4), or None if it is not one."""
    if len(query) < 17 or struct.unpack_from("!H", query, 4)[0] != 1:
        return None
    labels, at = [], 12
    while at < len(query) and query[at] != 0:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    end = at + 5
    if end > len(query):
        return None
    kind = struct.unpack_from("!H", query, at + 1)[0]
    found = ".".join(labels).lower() == known
    records = b""
    if found and kind == A:
        records = struct.pack("!HHHIH4B", POINTER_TO_QUESTION, A, IN, 1, 4, 127, 0, 0, 1)
    # A response, authoritative, and recursion is available as it was asked for.
    flags = 0x8580 | (0 if found else NAME_ERROR)
    head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if records else 0, 0, 0)
    return head + query[12:end] + records


def main() -> None:
    known = sys.argv[1].lower()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        while True:
            query, peer = server.recvfrom(512)
            reply = answer(query, known)
            if reply is not None:
                server.sendto(reply, peer)


if __name__ == "__main__":
    main()
