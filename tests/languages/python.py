# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Python has beyond introspection, each case in a mesh of its own."""
import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback

import gi

gi.require_version("Commy", "1")
from gi.repository import Commy, Gio, GLib  # noqa: E402

NAME = "org.example.Test"
MANY = 100
XML = f"""<node><interface name='{NAME}'>
<method name='Split'><arg type='s' direction='in'/><arg type='as' direction='out'/></method>
<method name='Halves'><annotation name='org.commy.Stream' value='server'/>
<annotation name='org.commy.Stream.Out' value='d'/><arg type='t' direction='in'/></method>
</interface></node>"""
CASES = []


def case(function):
    CASES.append(function)
    return function


class Both:
    """A mesh with a service and its client in one process; the service starts at the first use."""

    async def __aenter__(self):
        self.mesh = Commy.Mesh.new("test")
        await self.mesh.join()
        self.service = Commy.Service.new(self.mesh, NAME)
        self.client = Commy.Client.new(self.mesh, NAME)
        return self

    async def __aexit__(self, *_):
        await self.service.stop()
        await self.mesh.leave()


async def error_of(awaitable):
    """(number, message) of what it raises, or ()"""
    try:
        await awaitable
    except GLib.Error as error:
        return Commy.error_number(error), error.message
    return ()


# --- values ---


@case
async def values_keep_their_types():
    values = [True, -(2**31), 2**40, 2**64 - 1, 1.5, "ä", b"\0\xff", b"", (1, "x"), [], [b"", b"1"]]
    values += [[1, 2**40], {}, {"a": 1, "b": {"c": b"d"}}, {1: "x"}, ["x", 1], [[1], [2]]]
    for value in values:
        expected = list(value) if isinstance(value, list) else value
        (got,) = Commy.unpack(Commy.pack(value))
        assert got == expected and isinstance(got, type(value)), (value, got)
    packed = Commy.pack(1, [2**40, 1], GLib.Variant("q", 7), types="yaxq").print_(True)
    assert packed == "(byte 0x01, [int64 1099511627776, 1], uint16 7)", packed
    nested = Commy.pack([{"a": b"x"}], None, {"k": (1, [b"y"])}, types="aa{say}msa{s(iaay)}")
    assert Commy.unpack(nested) == ([{"a": b"x"}], None, {"k": (1, [b"y"])})


@case
async def values_that_cannot_be_packed_are_told():
    wrong = [(None, None), (object(), None), (2**64, None), (-(2**63) - 1, None), ({1: 1, "a": 2}, None)]
    wrong += [(GLib.Variant("s", "x"), "i"), (("a",), "(ss)"), ("x", "i"), (2**31, "i"), ("x", "(")]
    for value, types in wrong:
        try:
            Commy.pack(value, types=types)
        except (TypeError, OverflowError, ValueError):
            continue
        assert False, (value, types)


# --- topics ---


@case
async def a_topic_is_published_and_read():
    mesh = Commy.Mesh.new("test")
    await mesh.join()
    options = Commy.PublisherOptions.new()
    options.set_history(2)
    publisher = Commy.Publisher.new(mesh, "news.sports", options)
    publisher.start_sync(None)
    for number in range(3):
        publisher.publish(GLib.Variant("i", number))
    wishes = Commy.SubscribeOptions.new()
    wishes.set_policy(Commy.SlowPolicy.BLOCK, 8)
    wishes.set_history(10)
    got, there = [], asyncio.get_running_loop().create_future()

    def take(_, publication):
        number = publication.get_value().unpack()
        got.append((publication.get_topic(), publication.get_sequence(), number))
        if number == 1:
            publisher.publish(GLib.Variant("i", 3))
        if number == 3:
            there.set_result(True)

    subscription = mesh.subscribe("news.*", wishes, take)
    await there
    assert got == [("news.sports", n + 1, n) for n in (1, 2, 3)], got
    subscription.close()
    publisher.close()
    await mesh.leave()


# --- calls ---


@case
async def a_hundred_calls_are_in_flight_at_once():
    async with Both() as both:
        inside, everybody = 0, asyncio.Event()

        @both.service.method("Wait")
        async def wait(number):
            nonlocal inside
            inside += 1
            if inside == MANY:
                everybody.set()
            await everybody.wait()
            return number

        await both.service.start()
        results = await asyncio.gather(*(both.client.invoke("Wait", i) for i in range(MANY)))
        assert results == list(range(MANY))


@case
async def whatever_a_handler_raises_the_caller_gets():
    async with Both() as both:

        @both.service.method("Raise")
        def fail(kind):
            if kind == "glib":
                raise GLib.Error.new_literal(Gio.io_error_quark(), "of glib", 1)
            raise ValueError("of a function")

        @both.service.method("Later")
        async def later():
            await asyncio.sleep(0)
            raise KeyError("of a coroutine")

        @both.service.method("Unpackable")
        def unpackable():
            return object()

        @both.service.method("Picky", returns="i")
        def picky():
            return "no number"

        @both.service.method("Two")
        def two(_a, _b):
            return None

        @both.service.method("Cancelled")
        async def cancelled():
            raise asyncio.CancelledError

        @both.service.streaming("Stream")
        async def stream(_stream):
            yield 1
            raise ValueError("of a generator")

        await both.service.start()
        for arguments, text in (
            (("Raise", "glib"), "of glib"),
            (("Raise", "python"), "ValueError: of a function"),
            (("Later",), "KeyError: 'of a coroutine'"),
            (("Unpackable",), "TypeError: object has no type"),
            (("Picky",), "TypeError"),
            (("Two", 1), "TypeError"),
            (("Cancelled",), "CancelledError"),
        ):
            number, message = await error_of(both.client.invoke(*arguments))
            assert number == "CMY0311" and text in message, (arguments, message)
        opened = await both.client.stream("Stream")
        number, message = await error_of(opened.result())
        assert number == "CMY0311" and "ValueError: of a generator" in message, message


@case
async def errors_have_codes_numbers_and_words():
    async with Both() as both:
        await both.service.start()
        try:
            await both.client.invoke("Nope")
            assert False
        except GLib.Error as error:
            assert Commy.error_code(error) == Commy.Error.NO_METHOD
            assert Commy.error_number(error) == "CMY0304"
            assert error.matches(Commy.error_quark(), Commy.Error.NO_METHOD)
            assert "method" in Commy.error_explain(error.code)
        assert Commy.error_code(ValueError()) is None
        other = GLib.Error.new_literal(Gio.io_error_quark(), "x", 1)
        assert Commy.error_number(other) is None


@case
async def who_cancels_the_task_cancels_the_call():
    async with Both() as both:
        entered, leave = asyncio.Event(), asyncio.Event()

        @both.service.method("Hang")
        async def hang():
            entered.set()
            await leave.wait()

        await both.service.start()
        task = asyncio.create_task(both.client.invoke("Hang"))
        await entered.wait()
        task.cancel()
        try:
            await task
            assert False
        except asyncio.CancelledError:
            pass
        entered.clear()
        cancellable, bystander = Gio.Cancellable(), Gio.Cancellable()
        call = both.client.call("Hang", None, None, cancellable)
        await entered.wait()
        cancellable.cancel()
        assert (await error_of(call))[0] == "CMY0303"
        assert (await error_of(both.client.call("Hang", None, None, cancellable)))[0] == "CMY0303"
        entered.clear()
        call = both.client.call("Hang", None, None, bystander)
        await entered.wait()
        call.cancel()
        assert not bystander.is_cancelled()
        leave.set()


@case
async def a_timeout_is_in_seconds():
    async with Both() as both:
        leave = asyncio.Event()

        @both.service.method("Hang")
        async def hang():
            await leave.wait()

        await both.service.start()
        assert (await error_of(both.client.invoke("Hang", timeout=0.02)))[0] == "CMY0302"
        leave.set()


@case
async def one_way_messages_and_callers_reach_the_handler():
    async with Both() as both:
        seen = asyncio.Queue()

        @both.service.method("Note", with_invocation=True)
        def note(invocation, text):
            caller = invocation.get_caller().get_name()
            seen.put_nowait((invocation.is_one_way(), caller, text))

        await both.service.start()
        await both.client.invoke("Note", "first")
        both.client.send("Note", Commy.pack("second"), None)
        uid = f"unix:uid={os.getuid()}"
        assert await seen.get() == (False, uid, "first")
        assert await seen.get() == (True, uid, "second")


@case
async def the_interface_gives_types():
    async with Both() as both:
        service = Commy.Service.new(both.mesh, "org.example.Typed", XML.replace(NAME, "org.example.Typed"))

        @service.method("Split")
        def split(text):
            return text.split()

        @service.streaming("Halves", Commy.StreamKind.SERVER)
        def halves(_stream, number):
            while number >= 1:
                yield number
                number /= 2

        await service.start()
        client = Commy.Client.new(both.mesh, "org.example.Typed")
        assert await client.invoke("Split", "a b") == ["a", "b"]
        assert await client.invoke("Split", "") == []
        stream = await client.stream("Halves", 4, types="t")
        assert [number async for number in stream] == [4.0, 2.0, 1.0]
        await service.stop()


@case
async def xml_without_an_interface_is_told():
    async with Both() as both:
        await both.service.start()
        try:
            Commy.Service.new(both.mesh, NAME, "<node/>")
            assert False
        except ValueError as error:
            assert "no interface" in str(error)


@case
async def callbacks_still_work():
    async with Both() as both:
        done = asyncio.get_running_loop().create_future()
        both.service.handle("Old", lambda _service, call, *_: call.return_value(Commy.pack("way")))
        await both.service.start()
        both.client.call("Old", None, None, None, lambda client, r: done.set_result(client.call_finish(r)))
        assert (await done).unpack() == ("way",)


@case
async def decisions_are_told():
    async with Both() as both:
        await both.service.start()
        decision = both.client.explain(64, ["objective=throughput"])
        assert decision.get_transport() in decision.to_string()
        assert decision.get_transport() in json.dumps(json.loads(decision.to_json()))
        assert 0 <= decision.get_confidence() <= 1
        try:
            both.client.explain(64, ["objective=beauty"])
            assert False
        except GLib.Error as error:
            assert Commy.error_number(error).startswith("CMY0002"), error.message


# --- streams ---


@case
async def no_message_is_lost_to_a_cancelled_read():
    async with Both() as both:

        @both.service.streaming("Echo")
        async def echo(stream):
            async for number in stream:
                await stream.send(number)

        await both.service.start()
        stream = await both.client.stream("Echo")
        got = []
        for number in range(MANY):
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            await stream.send(number)
            for _ in range(number % 23):
                await asyncio.sleep(0)
            reading.cancel()
            try:
                got.append((await reading).unpack())
            except asyncio.CancelledError:
                pass
        stream.close_write()
        got += [number async for number in stream]
        assert got == list(range(MANY)), got


@case
async def values_and_bytes_mix_in_a_stream():
    async with Both() as both:

        @both.service.streaming("Same")
        async def same(stream):
            async for message in stream:
                if isinstance(message, bytes):
                    await stream.write_bytes(message)
                else:
                    await stream.send(message)

        await both.service.start()
        stream = await both.client.stream("Same")
        for message in ("a", b"raw", 5, b""):
            if isinstance(message, bytes):
                await stream.write_bytes(message)
            else:
                await stream.send(message)
        stream.close_write()
        assert [message async for message in stream] == ["a", b"raw", 5, b""]


@case
async def a_cancelled_stream_ends_its_handler():
    async with Both() as both:
        ended = asyncio.get_running_loop().create_future()

        @both.service.streaming("Endless")
        async def endless(stream):
            try:
                while True:
                    await stream.send("x" * 1000)
            except GLib.Error as error:
                ended.set_result(Commy.error_number(error))
                raise

        await both.service.start()
        stream = await both.client.stream("Endless")
        assert await stream.__anext__() == "x" * 1000
        stream.cancel("enough")
        assert await ended == "CMY0303"
        assert (await error_of(stream.result()))[0] == "CMY0303"


# --- threads ---


@case
async def workers_run_functions_that_wait():
    async with Both() as both:
        both.service.set_workers(2)

        @both.service.streaming("Double")
        def double(stream):
            n = 0
            for number in stream:
                stream.send_sync(2 * number)
                n += 1
            return n

        @both.service.streaming("Range")
        def numbers(_stream, end):
            yield from range(end)
            return end

        @both.service.method("Where")
        def where():
            return threading.current_thread() is threading.main_thread()

        @both.service.method("Async")
        async def coroutine():
            return None

        await both.service.start()
        stream = both.client.stream_sync("Double")
        stream.send_sync(21)
        assert next(stream) == 42
        stream.close_write()
        assert list(stream) == [] and stream.result_sync() == 1
        stream = both.client.stream_sync("Range", 1000)
        assert list(stream) == list(range(1000)) and stream.result_sync() == 1000
        assert both.client.invoke_sync("Where") is False
        number, message = await error_of(both.client.invoke("Async"))
        assert number == "CMY0311" and "event loop" in message, message


@case
async def another_thread_has_a_loop_of_its_own():
    async with Both() as both:

        @both.service.method("Greet")
        async def greet(name):
            return f"hello, {name}"

        await both.service.start()

        async def elsewhere():
            client = Commy.Client.new(both.mesh, NAME)
            return [await client.invoke("Greet", str(i)) for i in range(10)]

        answers = await asyncio.to_thread(lambda: Commy.run(elsewhere()))
        assert answers == [f"hello, {i}" for i in range(10)]


# --- the loop ---


@case
async def the_loop_runs_what_asyncio_and_glib_have():
    loop = asyncio.get_running_loop()
    order = []
    loop.call_later(0.02, order.append, "later")
    loop.call_soon(order.append, "soon")
    of_glib = loop.create_future()
    GLib.timeout_add(1, lambda: of_glib.set_result(None))
    await of_glib
    await asyncio.sleep(0.03)
    assert order == ["soon", "later"]
    process = await asyncio.create_subprocess_exec("echo", "hi", stdout=subprocess.PIPE)
    assert (await process.communicate())[0] == b"hi\n"
    assert await asyncio.to_thread(threading.get_ident) != threading.get_ident()
    reading, writing = os.pipe()
    readable = asyncio.Event()
    loop.add_reader(reading, readable.set)
    os.write(writing, b"x")
    await readable.wait()
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        assert False
    except asyncio.TimeoutError:
        pass


def plain_asyncio_is_told_apart():
    async def main():
        try:
            await Commy.Mesh.new("test").join()
        except RuntimeError as error:
            return "Commy.run" in str(error)
        return False

    assert asyncio.run(main())


def an_interrupt_ends_the_loop():
    async def main():
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    try:
        Commy.run(main())
        assert False
    except KeyboardInterrupt:
        pass


# --- ownership ---


@case
async def nothing_of_a_call_is_kept():
    alive, calls = 0, 0

    def gone():
        nonlocal alive
        alive -= 1

    def watch(thing):
        nonlocal alive, calls
        alive += 1
        calls += 1
        thing.weak_ref(gone)

    async with Both() as both:

        @both.service.method("Now", with_invocation=True)
        def now(invocation):
            watch(invocation)

        @both.service.method("Later", with_invocation=True)
        async def later(invocation):
            watch(invocation)
            await asyncio.sleep(0)

        @both.service.streaming("Stream", with_invocation=True)
        async def stream(invocation, stream):
            watch(invocation)
            watch(stream)
            async for _ in stream:
                pass

        await both.service.start()
        for _ in range(20):
            await both.client.invoke("Now")
            await both.client.invoke("Later")
            opened = await both.client.stream("Stream")
            watch(opened)
            opened.close_write()
            await opened.result()
            del opened
    assert calls == 100
    # What an interpreter keeps is the frame of the last call at most.
    for _ in range(10):
        await asyncio.sleep(0)
    assert alive <= 3, alive


START = f"""
import asyncio, gc, sys, gi
gi.require_version("Commy", "1")
from gi.repository import Commy, GLib
mesh = Commy.Mesh.new("test")
mesh.join_sync(None)
service = Commy.Service.new(mesh, "{NAME}")
client = Commy.Client.new(mesh, "{NAME}")
@service.method("Self")
async def itself():
    return service.get_instance_id() + mesh.get_name()
service.start_sync(None)
"""
ENDS = {
    "without-leaving": ("", 0),
    "in-a-cycle": (
        """
        mesh.self = mesh
        service.mesh = mesh
        client.service = service
        del mesh, service, client, itself
        gc.collect()
        """,
        0,
    ),
    "by-exit-in-a-coroutine": (
        """
        async def main():
            await client.invoke("Self")
            sys.exit(7)
        Commy.run(main())
        """,
        7,
    ),
    "with-a-call-under-way": (
        """
        async def main():
            event = asyncio.Event()
            @service2.method("Hang")
            async def hang():
                event.set()
                await asyncio.Event().wait()
            await service2.start()
            call = asyncio.create_task(Commy.Client.new(mesh, "org.example.Two").invoke("Hang"))
            await event.wait()
        service2 = Commy.Service.new(mesh, "org.example.Two")
        Commy.run(main())
        """,
        0,
    ),
    "by-an-exception": (
        """
        async def main():
            stream = await client.stream("Self")
            raise LookupError
        Commy.run(main())
        """,
        1,
    ),
}


def check(name, passed):
    print("ok" if passed else "not ok", name.replace("_", "-"), flush=True)


def attempt(name, function):
    try:
        function()
        check(name, True)
    except BaseException:  # also what ends a loop
        traceback.print_exc()
        check(name, False)


def an_interpreter_ends(body, expected):
    program = START + textwrap.dedent(body)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == expected, (run.returncode, run.stderr)
    assert "CRITICAL" not in run.stderr and "never" not in run.stderr, run.stderr


def main():
    logging.disable()  # handlers fail on purpose
    for function in CASES:
        attempt(function.__name__, lambda f=function: Commy.run(f()))
    for function in (plain_asyncio_is_told_apart, an_interrupt_ends_the_loop):
        attempt(function.__name__, function)
    for name, (body, expected) in ENDS.items():
        attempt("an-interpreter-ends-" + name, lambda b=body, e=expected: an_interpreter_ends(b, e))


main()
