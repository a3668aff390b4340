# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls what polyglot.xml says over the transport that the first argument names."""
import sys

import gi

gi.require_version("Commy", "1")
from gi.repository import Commy, GLib  # noqa: E402

BYTES = bytes(range(256)) * 1000


def check(name, passed):
    print("ok" if passed else "not ok", name, flush=True)


async def refuses(awaitable, number, text):
    try:
        await awaitable
    except GLib.Error as error:
        return Commy.error_number(error) == number and text in error.message
    return False


async def calls(client):
    check("a-call-is-answered", await client.invoke("Greet", "Ada") == "hello, Ada")
    check("several-results-come-back", await client.invoke("Divide", 17, 5) == (3, 2))
    check("a-value-of-bytes-comes-back", await client.invoke("Echo", BYTES) == BYTES)
    raw = await client.call_bytes("Raw", BYTES)
    check("raw-bytes-come-back", raw.get_data() == BYTES)
    check("an-error-arrives", await refuses(client.invoke("Fail", "as asked"), "CMY0311", "as asked"))
    check("what-is-not-there-is-told", await refuses(client.invoke("Nope"), "CMY0304", "Nope"))
    check("wrong-types-are-told", await refuses(client.invoke("Greet", 5), "CMY0310", ""))
    check("a-call-may-wait", client.invoke_sync("Greet", "Bob") == "hello, Bob")


async def streams(client):
    stream = await client.stream("Count", 3000, types="u")
    numbers = [number async for number in stream]
    check("a-stream-is-read", numbers == list(range(3000)) and await stream.result() == 3000)
    stream = await client.stream("Sum")
    for number in range(1000):
        await stream.send(number, "x")
    stream.close_write()
    check("a-stream-is-written", await stream.result() == 499500)
    stream = await client.stream("Shout")
    answers = []
    for text in ("one", "two", "three"):
        await stream.send(text)
        answers.append(await stream.__anext__())
    stream.close_write()
    answers += [text async for text in stream]
    check("a-stream-goes-both-ways", answers == ["ONE", "TWO", "THREE"])
    check("a-stream-ends-with-its-result", await stream.result() is None)


async def main(transport):
    mesh = Commy.Mesh.new("test")
    await mesh.join()
    client = Commy.Client.new(mesh, "org.example.Polyglot")
    await calls(client)
    await streams(client)
    check("the-decision-names-the-path", client.explain().get_transport() == transport)
    await mesh.leave()


Commy.run(main(sys.argv[1]))
