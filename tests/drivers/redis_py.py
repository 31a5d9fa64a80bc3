"""What redis-py sees. Prints one line of JSON, `[name, what came]`, for each thing that it does.

    redis_py.py URL PASSWORD
"""

import asyncio
import hashlib
import json
import os
import pathlib
import re
import sys
import threading
import time

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

URL, PASSWORD = sys.argv[1:]
# Far above what anything here takes: reached only when it never comes.
PATIENCE = 30.0
OPERATIONS = pathlib.Path(__file__).with_name("operations.txt")


def client(protocol: int = 2, **options) -> redis.Redis:
    """A client that does not hide a lost connection by trying again."""
    options = {"password": PASSWORD, "retry": Retry(NoBackoff(), 0), "socket_timeout": PATIENCE} | options
    return redis.Redis.from_url(URL, protocol=protocol, **options)


def plain(reply: object) -> object:
    """A reply in the few types of JSON, so that no two that differ look alike."""
    match reply:
        case bytes():
            return reply.decode("latin-1")
        case Exception():
            return {type(reply).__name__: str(reply)}
        case dict():
            return {"map": [[plain(key), plain(value)] for key, value in reply.items()]}
        case set() | frozenset():
            return {"set": sorted(map(repr, reply))}
        case list():
            return [plain(one) for one in reply]
        case tuple():
            return {"tuple": [plain(one) for one in reply]}
        case float():
            return {"double": repr(reply)}
        case None | bool() | int() | str():
            return reply
        case _:
            return {type(reply).__name__: repr(reply)}


def tell(name: str, reply: object) -> None:
    print(json.dumps([name, plain(reply)]), flush=True)


def caught(act) -> object:
    try:
        return act()
    except Exception as error:
        return error


def until(what: str, condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never came: {what}")
        time.sleep(0.005)


def waits(command: str) -> bool:
    """Whether a client of the server waits in that command: asked, so that nobody has to guess."""
    with client() as asked:
        return any(one["cmd"] == command and "b" in one["flags"] for one in asked.client_list())


def in_thread(act) -> tuple[threading.Thread, list]:
    results: list = []
    thread = threading.Thread(target=lambda: results.append(caught(act)), daemon=True)
    thread.start()
    return thread, results


def empty() -> None:
    with client() as r:
        r.flushall()
        r.function_flush()


def operations(protocol: int) -> None:
    """Every line of operations.txt over one connection."""
    connection = client(protocol).connection_pool.get_connection()
    for line in OPERATIONS.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        words = [json.loads(word).encode("latin-1") if word[0] == '"' else word
                 for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', line.removeprefix("~ "))]
        # A command that is several words (`CLIENT ID`) goes as several: only the first would be split.
        connection.send_command(*words)
        reply = caught(lambda: connection.read_response(disable_decoding=True))
        tell(f"RESP{protocol} {line}", type(reply).__name__ if line.startswith("~") else reply)
    connection.disconnect()


def pipelines(protocol: int) -> None:
    with client(protocol) as r:
        for transaction in (False, True):
            pipe = r.pipeline(transaction=transaction)
            pipe.set("p", "x").incr("p").get("p").lpush("p", 1).hset("ph", mapping={"a": 1}).hgetall("ph")
            tell(f"pipeline, transaction={transaction}", pipe.execute(raise_on_error=False))
        pipe = r.pipeline(transaction=False)
        for number in range(10_000):
            pipe.rpush("long", number)
        tell("10 000 in a pipeline", hashlib.sha256(repr(pipe.execute()).encode()).hexdigest())
        pipe = r.pipeline(transaction=True)
        for number in range(10_000):
            pipe.lindex("long", number)
        tell("10 000 in a transaction", hashlib.sha256(repr(pipe.execute()).encode()).hexdigest())
        tell("a pipeline that does not compile", caught(lambda: r.pipeline().set("p", 1).execute_command("NOSUCH").execute()))
        tell("nothing of it was done", r.get("p"))


def unread(protocol: int) -> None:
    """Commands are written to the end before the first reply is read."""
    connection = client(protocol).connection_pool.get_connection()
    connection.send_command("SET", "unread", "v" * 1000)
    connection.read_response()
    one, count = b"*2\r\n$3\r\nGET\r\n$6\r\nunread\r\n", 100_000
    connection.send_packed_command([one * count])
    seen = {hashlib.sha256(connection.read_response(disable_decoding=True)).hexdigest() for _ in range(count)}
    tell("100 000 commands, 100 MB of replies", seen)
    connection.disconnect()


def transactions(protocol: int) -> None:
    with client(protocol) as r, client(protocol) as other:
        r.set("balance", 100)
        pipe = r.pipeline()
        pipe.watch("balance")
        other.set("balance", 50)
        pipe.multi()
        pipe.set("balance", 0)
        tell("EXEC after a conflict", caught(pipe.execute))
        tell("the other's value stands", r.get("balance"))
        pipe.watch("balance")
        tell("read while watching", pipe.get("balance"))
        pipe.multi()
        pipe.decrby("balance", 10)
        tell("EXEC without a conflict", pipe.execute())
        pipe.watch("balance")
        other.incr("balance")
        pipe.unwatch()
        pipe.multi()
        pipe.get("balance")
        tell("EXEC after UNWATCH", pipe.execute())
        tries = []

        def spend(pipe: redis.client.Pipeline) -> None:
            left = int(pipe.get("balance"))
            tries.append(left)
            if len(tries) < 3:
                other.incr("balance")
            pipe.multi()
            pipe.set("balance", left - 1)

        tell("a transaction that is tried until it holds", [r.transaction(spend, "balance"), tries, r.get("balance")])


def blocking(protocol: int) -> None:
    with client(protocol) as r, client(protocol) as other:
        tell("BLPOP in vain", r.blpop(["q", "q2"], timeout=0.05))
        tell("BLMOVE in vain", r.blmove("q", "q2", timeout=0.05))
        tell("BZPOPMIN in vain", r.bzpopmin("zq", timeout=0.05))
        tell("XREAD in vain", r.xread({"xq": "$"}, block=50))
        for name, command, act, then in (
            ("BLPOP", "blpop", lambda: r.blpop(["q", "q2"], timeout=20), lambda: other.rpush("q2", "a", "b")),
            ("BRPOP", "brpop", lambda: r.brpop("q3", timeout=0), lambda: other.rpush("q3", "a", "b")),
            ("BLMOVE", "blmove", lambda: r.blmove("q4", "q5", timeout=20), lambda: other.rpush("q4", "a")),
            ("BLMPOP", "blmpop", lambda: r.blmpop(20, 2, "q6", "q7", direction="left"), lambda: other.rpush("q7", "a")),
            ("BZPOPMAX", "bzpopmax", lambda: r.bzpopmax("zq", timeout=20), lambda: other.zadd("zq", {"m": 1.5})),
            ("XREAD", "xread", lambda: r.xread({"xq": "$"}, block=20_000), lambda: other.xadd("xq", {"f": "v"}, id="5-5")),
        ):
            thread, results = in_thread(act)
            until(f"{name} waits", lambda: waits(command))
            then()
            thread.join(PATIENCE)
            tell(f"{name} is served", results)
        r.xgroup_create("xq", "g", "$")
        thread, results = in_thread(lambda: r.xreadgroup("g", "c", {"xq": ">"}, block=20_000))
        until("XREADGROUP waits", lambda: waits("xreadgroup"))
        other.xadd("xq", {"f": "w"}, id="6-6")
        thread.join(PATIENCE)
        tell("XREADGROUP is served", results)


def messages(protocol: int) -> None:
    with client(protocol) as r, client(protocol) as publisher:
        listener = r.pubsub()

        def heard() -> object:
            return listener.get_message(timeout=PATIENCE)

        listener.subscribe("news", "weather")
        tell("subscribed", [heard(), heard()])
        listener.psubscribe("n?ws", "*e*")
        tell("subscribed to patterns", [heard(), heard()])
        tell("who listens", [sorted(publisher.pubsub_channels()), publisher.pubsub_numsub("news", "x"), publisher.pubsub_numpat()])
        tell("published", publisher.publish("news", b"\x00\xff\r\n"))
        tell("heard thrice", sorted(map(repr, (heard(), heard(), heard()))))
        listener.ping("still there")
        tell("a ping while subscribed", heard())
        listener.unsubscribe("news")
        tell("unsubscribed", heard())
        tell("published again", publisher.publish("news", "second"))
        tell("heard twice", sorted(map(repr, (heard(), heard()))))
        listener.unsubscribe()
        listener.punsubscribe()
        tell("unsubscribed from the rest", sorted(map(repr, (heard(), heard(), heard()))))
        listener.subscribe("again")
        tell("subscribed again", heard())
        big = "m" * 1_000_000
        publisher.publish("again", big)
        tell("a megabyte of news", heard()["data"] == big.encode())
        for number in range(5000):
            publisher.publish("again", number)
        tell("5000 in order", [int(heard()["data"]) for _ in range(5000)] == list(range(5000)))
        listener.close()
        until("nobody listens", lambda: publisher.pubsub_numsub("again") == [(b"again", 0)])
        shard = r.pubsub()
        shard.ssubscribe("shard")
        tell("subscribed to a shard", shard.get_message(timeout=PATIENCE))
        tell("published to it", publisher.execute_command("SPUBLISH", "shard", "hello"))
        tell("heard from it", shard.get_message(timeout=PATIENCE))
        shard.close()


def monitor(protocol: int) -> None:
    with client(protocol) as r, client(protocol) as other, r.monitor() as seen:
        other.set("monitored", "a value")
        while (one := seen.next_command()) and "monitored" not in one["command"]:
            pass
        tell("MONITOR", [one["command"], one["db"]])


def scripts(protocol: int) -> None:
    with client(protocol) as r:
        r.script_flush()
        script = r.register_script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
        tell("a script that the server does not know", [script(keys=["runs"], args=["x"]), script(keys=["runs"], args=["y"])])
        pipe = r.pipeline()
        script(keys=["runs"], args=["z"], client=pipe)
        tell("a script in a pipeline", pipe.execute())
        code = "#!lua name=mine\nredis.register_function{function_name='add', callback=function(k, a) return a[1] + a[2] end, flags={'no-writes'}}"
        tell("a library", [r.function_load(code, replace=True), r.fcall("add", 0, 2, 3), r.fcall_ro("add", 0, 2, 3)])
        dump = r.function_dump()
        tell("a library comes back", [r.function_delete("mine"), r.function_restore(dump), r.fcall("add", 0, 2, 3)])


def scans(protocol: int) -> None:
    with client(protocol) as r:
        r.mset({f"scanned:{number}": number for number in range(5000)})
        tell("SCAN", len(set(r.scan_iter("scanned:*", count=100))))
        r.hset("scanned-hash", mapping={f"f{number}": number for number in range(2000)})
        r.sadd("scanned-set", *range(2000))
        r.zadd("scanned-zset", {f"m{number}": number for number in range(2000)})
        tell("HSCAN", sorted(r.hscan_iter("scanned-hash")))
        tell("SSCAN", sorted(set(r.sscan_iter("scanned-set"))))
        tell("ZSCAN", sorted(set(r.zscan_iter("scanned-zset"))))


def large(protocol: int) -> None:
    with client(protocol) as r:
        for size in (1 << 20, 64 << 20):
            value = os.urandom(size)
            tell(f"{size} bytes, written", r.set("large", value))
            tell(f"{size} bytes, read", r.get("large") == value)
            pipe = r.pipeline(transaction=True)
            pipe.set("large2", value).strlen("large2").get("large2")
            tell(f"{size} bytes in a transaction", pipe.execute()[:2] + [r.get("large2") == value])
        r.delete("large", "large2")
        r.rpush("wide", *range(100_000))
        tell("100 000 elements", [int(one) for one in r.lrange("wide", 0, -1)] == list(range(100_000)))


def users(protocol: int) -> None:
    client().set("open:a", "readable")
    for name, options in (
        ("no password", {"password": None}),
        ("a wrong password", {"password": "wrong"}),
        ("no such user", {"username": "nobody", "password": PASSWORD}),
        ("a user's wrong password", {"username": "reader", "password": "wrong"}),
    ):
        with client(protocol, **options) as r:
            tell(f"{name}: GET", caught(lambda: r.get("open:a")))
            tell(f"{name}: BLPOP", caught(lambda: r.blpop("q", timeout=1)))
            tell(f"{name}: SUBSCRIBE", caught(lambda: r.pubsub().subscribe("news")))
            tell(f"{name}: MULTI", caught(lambda: r.pipeline().get("open:a").execute()))
    with client(protocol, username="reader", password="readers-word") as reader:
        tell("a reader is", reader.acl_whoami())
        tell("a reader reads", reader.get("open:a"))
        tell("a reader reads what it may not", caught(lambda: reader.get("balance")))
        tell("a reader writes", caught(lambda: reader.set("open:a", "changed")))
        tell("a reader reads in a transaction", reader.pipeline().get("open:a").execute())
        tell("a reader writes in a transaction", caught(lambda: reader.pipeline().set("open:a", 1).execute()))
    with client(protocol, single_connection_client=True) as r:
        tell("a wrong AUTH later", caught(lambda: r.execute_command("AUTH", "reader", "wrong")))
        tell("and who one is then", r.acl_whoami())
        tell("a right one", r.execute_command("AUTH", "reader", "readers-word"))
        tell("and who one is now", r.acl_whoami())
        tell("and what one may", caught(lambda: r.set("open:a", "changed")))
    with client(protocol, username="reader", password="readers-word") as reader, client(protocol) as admin:
        reader.ping()
        admin.acl_setuser("reader", enabled=True, reset_passwords=True, passwords=["+new"], keys=["open:*"], commands=["+@read"])
        with client(protocol, username="reader", password="readers-word") as late:
            tell("an old password", caught(lambda: late.get("open:a")))
        with client(protocol, username="reader", password="new") as late:
            tell("a new password", late.get("open:a"))
        admin.acl_setuser("reader", enabled=True, reset=True, passwords=["+readers-word"], keys=["open:*"], categories=["+@read", "+@connection", "+@transaction"], commands=["+acl|whoami"])


def pools(protocol: int) -> None:
    """Eighty threads over a pool of forty connections, and clients that come and go."""
    pool = redis.BlockingConnectionPool.from_url(URL, password=PASSWORD, protocol=protocol, max_connections=40, timeout=PATIENCE)
    r = redis.Redis(connection_pool=pool)
    r.delete("count")
    replies: list[int] = []

    def work() -> None:
        for _ in range(50):
            replies.append(r.incr("count"))

    threads = [in_thread(work) for _ in range(80)]
    for thread, _ in threads:
        thread.join(PATIENCE)
    tell("each got a number of its own", [sorted(replies) == list(range(1, 4001)), *[one for _, seen in threads for one in seen if one]])
    for number in range(200):
        with client(protocol, client_name=f"short-{number}") as short:
            short.incr("count")
    tell("200 short clients", r.get("count"))
    pool.disconnect()


def databases(protocol: int) -> None:
    with client(protocol, db=1) as one, client(protocol, db=2) as two:
        one.set("where", "one")
        two.set("where", "two")
        tell("each its own", [one.get("where"), two.get("where"), one.dbsize()])
        two.swapdb(1, 2)
        tell("exchanged", [one.get("where"), two.get("where")])
        two.flushdb()
        tell("one emptied", [one.get("where"), two.get("where")])


def sessions(protocol: int) -> None:
    """What a connection remembers."""
    with client(protocol, single_connection_client=True, client_name="me") as r:
        tell("name", [r.client_getname(), r.client_setname("you"), r.client_getname(), r.client_info()["name"]])
        tell("the same connection", r.client_id() == r.client_id())
        tell("its own line in the list", [one["name"] for one in r.client_list(client_id=[r.client_id()])])
        tell("itself killed", caught(lambda: r.client_kill_filter(_id=str(r.client_id()), skipme=True)))
        tell("no eviction", r.client_no_evict("on"))
        tell("RESET", r.reset() or r.client_getname())
    connection = client(protocol).connection_pool.get_connection()
    for words in (("CLIENT", "REPLY", "OFF"), ("SET", "unanswered", "1"), ("INCR", "unanswered"), ("CLIENT", "REPLY", "ON")):
        connection.send_command(*words)
    tell("CLIENT REPLY", connection.read_response())
    connection.send_command("GET", "unanswered")
    tell("done all the same", connection.read_response())
    connection.disconnect()
    with client(protocol) as r, client(protocol) as other:
        thread, results = in_thread(lambda: r.blpop("never", timeout=20))
        until("BLPOP waits", lambda: waits("blpop"))
        waiting = next(one["id"] for one in other.client_list() if one["cmd"] == "blpop")
        tell("unblocked", other.client_unblock(int(waiting)))
        thread.join(PATIENCE)
        tell("what it gets", results)
        tell("paused", [other.client_pause(1000, all=False), other.client_unpause(), r.set("after", "pause")])


def relayed_in_transactions(protocol: int) -> None:
    """What begins a subscription, where a connection holds watched keys or queued commands."""
    for words in (("MULTI",), ("WATCH", "x")):
        connection = client(protocol).connection_pool.get_connection()
        connection.send_command(*words)
        connection.read_response()
        connection.send_command("SUBSCRIBE", "news")
        tell(f"SUBSCRIBE after {words[0]}", caught(connection.read_response))
        connection.disconnect()


def caching() -> None:
    """Client-side caching of redis-py: CLIENT TRACKING and pushes of RESP3."""
    # redis-py wants 7.4; what it uses is there since 6.0.
    redis.connection.CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"
    with client(3, cache_config=CacheConfig()) as r, client() as other:
        other.set("cached", "old")
        tell("first read", r.get("cached"))
        tell("kept", r.get_cache().size)
        tell("from the cache", r.get("cached"))
        other.set("cached", "new")
        until("the new value", lambda: r.get("cached") == b"new")
        tell("after an invalidation", r.get("cached"))


def redirected() -> None:
    """Client-side caching of RESP2: another connection of the client hears the invalidations."""
    ear, r = client().connection_pool.get_connection(), client(single_connection_client=True)
    ear.send_command("CLIENT", "ID")
    identity = ear.read_response()
    ear.send_command("SUBSCRIBE", "__redis__:invalidate")
    tell("an ear", ear.read_response())
    tell("redirected", caught(lambda: r.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", identity, "BCAST", "PREFIX", "watched:")))
    with client() as other:
        other.set("watched:1", "x")
    tell("invalidated", caught(lambda: ear.read_response(timeout=5)))
    ear.disconnect()
    r.close()


async def asynchronous() -> None:
    pool = redis.asyncio.BlockingConnectionPool.from_url(URL, password=PASSWORD, protocol=3, max_connections=10, timeout=PATIENCE,
                                                        socket_connect_timeout=PATIENCE)
    async with redis.asyncio.Redis.from_pool(pool) as r:
        await r.delete("async")
        got = await asyncio.gather(*(r.incr("async") for _ in range(500)))
        tell("500 at once", sorted(got) == list(range(1, 501)))
        popped = asyncio.create_task(r.blpop("async-q", timeout=20))
        await r.rpush("async-q", "x")
        tell("a blocking pop", await popped)


def main() -> None:
    for protocol in (2, 3):
        for scene in (operations, pipelines, unread, transactions, blocking, messages, monitor, scripts, scans, large, users, pools, databases, sessions, relayed_in_transactions):
            empty()
            try:
                scene(protocol)
            except Exception as error:
                tell(f"{scene.__name__} broke off", error)
    for scene in (caching, redirected, lambda: asyncio.run(asynchronous())):
        empty()
        scene()


if __name__ == "__main__":
    main()
