# SPDX-License-Identifier: LGPL-2.1-or-later
"""Offers what polyglot.xml says, until it is told to end."""
import asyncio
import logging
import pathlib
import signal

import gi

gi.require_version("Commy", "1")
from gi.repository import Commy  # noqa: E402

NAME = "org.example.Polyglot"
XML = pathlib.Path(__file__).with_name("polyglot.xml").read_text(encoding="utf-8")


def offer(service):
    @service.method("Greet")
    def greet(name):
        return f"hello, {name}"

    @service.method("Divide")
    async def divide(a, b):
        await asyncio.sleep(0)
        return divmod(a, b)

    @service.method("Fail")
    def fail(why):
        raise ValueError(why)

    @service.method("Raw")
    @service.method("Echo")
    def echo(data):
        return data

    @service.streaming("Count", Commy.StreamKind.SERVER)
    async def count(stream, end):
        for number in range(end):
            await stream.send(number, "u")
        return end

    @service.streaming("Sum", Commy.StreamKind.CLIENT)
    async def total(stream):
        return sum([number async for number in stream])

    @service.streaming("Shout")
    async def shout(stream):
        async for text in stream:
            yield text.upper()


async def main():
    logging.disable()  # one of the handlers fails, as it should
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    mesh = Commy.Mesh.new("test")
    await mesh.join()
    service = Commy.Service.new(mesh, NAME, XML)
    offer(service)
    await service.start()
    print("ready", flush=True)
    await ended.wait()
    await service.stop()
    await mesh.leave()


Commy.run(main())
