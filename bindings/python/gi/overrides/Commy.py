# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Python has beyond introspection: values, services by decorator, await, async for.

Everything that introspection gives stays as it is. A function that takes a callback returns
something to await if it gets none. The event loop that makes this work is at the end of this file.
"""
import asyncio
import functools
import inspect
import logging
import selectors
import threading

from gi.module import get_introspection_module
from gi.overrides import override
from gi.repository import Gio, GLib, GObject

Commy = get_introspection_module("Commy")

__all__ = []
log = logging.getLogger("commy")
DOMAIN = "commy-error-quark"


def public(thing):
    __all__.append(thing.__name__)
    return thing


# --- errors ---


@public
def error_code(error):
    """The Commy.Error of an exception; None if it is none of Commy's."""
    if isinstance(error, GLib.Error) and error.domain == DOMAIN:
        return Commy.Error(error.code)
    return None


@public
def error_number(error):
    """The number of an exception as people read it, such as "CMY0301"; None if it is none of Commy's."""
    return None if error_code(error) is None else f"CMY{error.code:04d}"


# --- values ---

INTEGERS = (("i", -(2**31), 2**31), ("x", -(2**63), 2**63), ("t", 0, 2**64))


def type_of(value):
    """The type that a value gets if nobody says one."""
    if isinstance(value, GLib.Variant):
        return value.get_type_string()
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        for type_, first, end in INTEGERS:
            if first <= value < end:
                return type_
        raise OverflowError(f"{value} has more than 64 bits")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "ay"
    if isinstance(value, tuple):
        return "(" + "".join(map(type_of, value)) + ")"
    if isinstance(value, list):
        types = set(map(type_of, value))
        if types and types <= {"i", "x"}:
            return "a" + max(types)
        return "a" + (types.pop() if len(types) == 1 else "v")
    if isinstance(value, dict):
        keys = set(map(type_of, value))
        if len(keys) > 1:
            raise TypeError("the keys of a dictionary have one type")
        return "a{" + (keys.pop() if keys else "s") + "v}"
    for python, type_ in ((float, "d"), (str, "s")):
        if isinstance(value, python):
            return type_
    raise TypeError(f"{type(value).__name__} has no type in GVariant; make a GLib.Variant of it")


def split_types(types):
    return GLib.Variant.split_signature("(" + types + ")")


def checked(type_):
    if not GLib.VariantType.string_is_valid(type_):
        raise ValueError(f'"{type_}" is no type of GVariant')
    return type_


def to_variant(type_, value):
    if isinstance(value, GLib.Variant) and type_ != "v":
        if value.get_type_string() != type_:
            raise TypeError(f"a value of type {value.get_type_string()} where {type_} is needed")
        return value
    if type_ == "v":
        return GLib.Variant.new_variant(to_variant(type_of(value), value))
    if type_ == "ay" and isinstance(value, (bytes, bytearray, memoryview)):
        data = GLib.Bytes.new(bytes(value))
        return GLib.Variant.new_from_bytes(GLib.VariantType.new("ay"), data, True)
    if type_[0] == "(":
        types = split_types(type_[1:-1])
        if len(types) != len(value):
            raise TypeError(f"{len(value)} values where {type_} is needed")
        return GLib.Variant.new_tuple(*map(to_variant, types, value))
    if type_[:2] == "a{":
        key, content = split_types(type_[2:-1])
        pairs = [
            GLib.Variant.new_dict_entry(to_variant(key, k), to_variant(content, v))
            for k, v in value.items()
        ]
        return GLib.Variant.new_array(GLib.VariantType.new(type_[1:]), pairs)
    if type_[0] == "a" and type_[1] in "av(m":
        items = [to_variant(type_[1:], item) for item in value]
        return GLib.Variant.new_array(GLib.VariantType.new(type_[1:]), items)
    if type_[0] == "m":
        inner = None if value is None else to_variant(type_[1:], value)
        return GLib.Variant.new_maybe(GLib.VariantType.new(type_[1:]), inner)
    return GLib.Variant(type_, value)


@public
def pack(*values, types=None):
    """Values as the tuple of a call. Types: "si" for a text and a number; else by the values."""
    if types is None:
        types = "".join(map(type_of, values))
    return to_variant(checked("(" + types + ")"), values)


@public
def unpack(variant):
    """A value as Python has it: as GLib.Variant.unpack(), but an array of bytes is `bytes`."""
    type_ = variant.get_type_string()
    if type_ == "ay":
        return variant.get_data_as_bytes().get_data() or b""
    if "ay" not in type_ and "v" not in type_:
        return variant.unpack()
    if type_ == "v":
        return unpack(variant.get_variant())
    children = [unpack(variant.get_child_value(i)) for i in range(variant.n_children())]
    if type_[0] == "m":
        return children[0] if children else None
    if type_[:2] == "a{":
        return dict(children)
    return children if type_[0] == "a" else tuple(children)


def unpack_result(variant):
    """() is None, a tuple of one its value."""
    values = unpack(variant)
    if isinstance(values, tuple) and len(values) < 2:
        return values[0] if values else None
    return values


def pack_result(value, types):
    if isinstance(value, GLib.Variant) and value.get_type_string()[0] == "(":
        return value
    if types is None:
        return pack() if value is None else pack(*value) if isinstance(value, tuple) else pack(value)
    n = len(split_types(types))
    return pack(*(() if n == 0 else (value,) if n == 1 else value), types=types)


# --- waiting ---


def running_loop():
    """asyncio's loop of this thread, which must run GLib's context of this thread too."""
    loop = asyncio.get_running_loop()
    if not GLib.MainContext.ref_thread_default().is_owner():
        raise RuntimeError("this event loop does not run GLib: use Commy.run() or Commy.EventLoop")
    return loop


def start(begin, finish, cancellable, late=None):
    """Begins an operation; the future of its result. Who cancels the future cancels the operation.

    What it brings although the future was cancelled goes to `late`.
    """
    future = running_loop().create_future()
    inner = Gio.Cancellable()
    handler = 0

    def on_done(_source, result, *_data):
        if handler:
            cancellable.disconnect(handler)
        try:
            value = finish(result)
        except Exception as error:  # whatever it is, it belongs to who waits
            if not future.done():
                future.set_exception(error)
            return
        if not future.done():
            future.set_result(value)
        elif late is not None:
            late(value)

    if cancellable is not None:
        handler = GObject.Object.connect(cancellable, "cancelled", lambda *_: inner.cancel())
        if cancellable.is_cancelled():
            inner.cancel()
    begin(inner, on_done)
    future.add_done_callback(lambda f: inner.cancel() if f.cancelled() else None)
    return future


@public
@override
class Mesh(Commy.Mesh):
    def join(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().join(cancellable, callback, *data)
        return start(super().join, super().join_finish, cancellable)

    def leave(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().leave(cancellable, callback, *data)
        return start(super().leave, super().leave_finish, cancellable)


# --- calling ---


def options_of(timeout, idempotent):
    if timeout is None and not idempotent:
        return None
    options = Commy.CallOptions.new()
    options.set_idempotent(idempotent)
    options.set_timeout(-1 if timeout is None else int(timeout * 1000000))
    return options


@public
@override
class Client(Commy.Client):
    def call(self, method, parameters=None, options=None, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().call(method, parameters, options, cancellable, callback, *data)
        begin = functools.partial(super().call, method, parameters, options)
        return start(begin, super().call_finish, cancellable)

    def call_bytes(self, method, data, options=None, cancellable=None, callback=None, *user_data):
        if not isinstance(data, GLib.Bytes):
            data = GLib.Bytes.new(data)
        if callback is not None:
            return super().call_bytes(method, data, options, cancellable, callback, *user_data)
        begin = functools.partial(super().call_bytes, method, data, options)
        return start(begin, super().call_bytes_finish, cancellable)

    def open_stream(
        self, method, parameters=None, options=None, cancellable=None, callback=None, *data
    ):
        if callback is not None:
            return super().open_stream(method, parameters, options, cancellable, callback, *data)
        begin = functools.partial(super().open_stream, method, parameters, options)
        return start(begin, super().open_stream_finish, cancellable)

    async def invoke(self, method, *values, types=None, timeout=None, idempotent=False):
        """Calls with Python's values and returns such: `await client.invoke("Add", 2, 3)`.

        Types are those of the arguments ("ii"), for where they do not follow from the values; the
        timeout is in seconds. No result is None, one result itself, several are a tuple.
        """
        parameters = pack(*values, types=types)
        return unpack_result(await self.call(method, parameters, options_of(timeout, idempotent)))

    def invoke_sync(self, method, *values, types=None, timeout=None, idempotent=False):
        """As invoke(), and waits without running any main context."""
        options = options_of(timeout, idempotent)
        return unpack_result(self.call_sync(method, pack(*values, types=types), options, None))

    async def stream(self, method, *values, types=None, timeout=None):
        """Opens a stream with Python's values: `stream = await client.stream("Below", 100)`."""
        parameters = pack(*values, types=types)
        return await self.open_stream(method, parameters, options_of(timeout, False))

    def stream_sync(self, method, *values, types=None, timeout=None):
        """As stream(), and waits without running any main context."""
        options = options_of(timeout, False)
        return self.open_stream_sync(method, pack(*values, types=types), options, None)

    def explain(self, size=64, what_if=None, cancellable=None):
        """How a message of a size would go; `what_if` may be a list such as ["objective=cpu"]."""
        if isinstance(what_if, (list, tuple)):
            what_if = Commy.WhatIf.new(what_if)
        return super().explain(size, what_if, cancellable)


# --- streams ---


@public
@override
class Stream(Commy.Stream):
    def write(self, message, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().write(message, cancellable, callback, *data)
        begin = functools.partial(super().write, message)
        return start(begin, super().write_finish, cancellable)

    def write_bytes(self, data, cancellable=None, callback=None, *user_data):
        if not isinstance(data, GLib.Bytes):
            data = GLib.Bytes.new(data)
        if callback is not None:
            return super().write_bytes(data, cancellable, callback, *user_data)
        begin = functools.partial(super().write_bytes, data)
        return start(begin, super().write_bytes_finish, cancellable)

    def read(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().read(cancellable, callback, *data)
        return self._read(super().read, super().read_finish, cancellable, GLib.Variant)

    def read_bytes(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().read_bytes(cancellable, callback, *data)
        return self._read(super().read_bytes, super().read_bytes_finish, cancellable, GLib.Bytes)

    def wait_result(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().wait_result(cancellable, callback, *data)
        return start(super().wait_result, super().wait_result_finish, cancellable)

    def _keep(self, message):
        if message is not None:
            self.__dict__.setdefault("_kept", []).append(message)

    async def _read(self, begin, finish, cancellable, kind):
        """Reads so that a message is not lost if who waits is cancelled as it arrives."""
        kept = self.__dict__.get("_kept")
        if kept:
            if isinstance(kept[0], kind):
                return kept.pop(0)
            quark = GLib.quark_from_string(DOMAIN)
            raise GLib.Error.new_literal(quark, "the next message is of the other kind", TYPE)
        future = start(begin, finish, cancellable, self._keep)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._keep(future.result())
            raise

    async def send(self, value, type=None):
        """Writes one of Python's values as soon as the other side lets it."""
        await self.write(to_variant(checked(type or type_of(value)), value))

    def send_sync(self, value, type=None):
        """As send(), and waits without running any main context."""
        self.write_sync(to_variant(checked(type or type_of(value)), value), None)

    async def result(self):
        """What the handler returned in the end, as invoke() would tell it."""
        return unpack_result(await self.wait_result())

    def result_sync(self):
        """As result(), and waits without running any main context."""
        return unpack_result(self.wait_result_sync(None))

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            message = await self.read()
        except GLib.Error as error:
            if error_code(error) != TYPE:
                raise
            message = await self.read_bytes()
        if message is None:
            raise StopAsyncIteration
        return message.get_data() or b"" if isinstance(message, GLib.Bytes) else unpack(message)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            message = self.read_sync(None)
        except GLib.Error as error:
            if error_code(error) != TYPE:
                raise
            message = self.read_bytes_sync(None)
        if message is None:
            raise StopIteration
        return message.get_data() or b"" if isinstance(message, GLib.Bytes) else unpack(message)


TYPE = Commy.Error.TYPE

# --- offering ---

running = set()  # asyncio keeps tasks weakly


def answer_error(invocation, error):
    if isinstance(error, GLib.Error):
        invocation.return_gerror(error)
        return
    if not isinstance(error, asyncio.CancelledError):
        method = invocation.get_method()
        log.error("the handler of %s failed", method, exc_info=error)
    invocation.return_error(f"{type(error).__name__}: {error}".rstrip(": "))


def answer(invocation, value, types):
    if invocation.get_bytes() is not None and isinstance(value, (bytes, bytearray, memoryview)):
        invocation.return_bytes(GLib.Bytes.new(bytes(value)))
    else:
        invocation.return_value(pack_result(value, types))


async def write_all(stream, messages, type_):
    async for message in messages:
        await stream.send(message, type_)


def write_all_sync(stream, messages, type_):
    while True:
        try:
            message = next(messages)
        except StopIteration as end:
            return end.value
        stream.send_sync(message, type_)


async def answer_later(invocation, awaitable, types):
    try:
        answer(invocation, await awaitable, types)
    except BaseException as error:
        answer_error(invocation, error)
        if not isinstance(error, Exception):
            raise


def start_task(invocation, coroutine, types):
    try:
        loop = running_loop()
    except RuntimeError as error:
        coroutine.close()
        raise RuntimeError(f"a coroutine cannot be the handler in this thread: {error}") from None
    task = loop.create_task(answer_later(invocation, coroutine, types))
    running.add(task)
    task.add_done_callback(running.discard)


class Handler:
    """One method of a service: a function, and what the interface says about its answer."""

    def __init__(self, function, types, sends, with_invocation):
        self.function = function
        self.types = types
        self.sends = sends
        self.with_invocation = with_invocation

    def arguments(self, invocation):
        data = invocation.get_bytes()
        stream = invocation.get_stream()
        values = unpack(invocation.get_parameters()) if data is None else (data.get_data() or b"",)
        return (
            *((invocation,) if self.with_invocation else ()),
            *(() if stream is None else (stream,)),
            *values,
        )

    def __call__(self, _service, invocation, *_data):
        try:
            stream = invocation.get_stream()
            result = self.function(*self.arguments(invocation))
            if stream is not None and inspect.isasyncgen(result):
                result = write_all(stream, result, self.sends)
            elif stream is not None and inspect.isgenerator(result):
                result = write_all_sync(stream, result, self.sends)
            if inspect.iscoroutine(result):
                start_task(invocation, result, self.types)
            else:
                answer(invocation, result, self.types)
        except Exception as error:  # the caller learns of it
            answer_error(invocation, error)


def signature_of(arguments):
    return "".join(argument.signature for argument in arguments or ())


@public
@override
class Service(Commy.Service):
    @staticmethod
    def new(mesh, name, interface=None):
        """As in C; the interface may be XML."""
        if isinstance(interface, str):
            node = Gio.DBusNodeInfo.new_for_xml(interface)
            interface = node.lookup_interface(name) or (node.interfaces or [None])[0]
            if interface is None:
                raise ValueError("the XML has no interface")
        service = Commy.Service.new(mesh, name, interface)
        service.interface = interface
        return service

    def start(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().start(cancellable, callback, *data)
        return start(super().start, super().start_finish, cancellable)

    def stop(self, cancellable=None, callback=None, *data):
        if callback is not None:
            return super().stop(cancellable, callback, *data)
        return start(super().stop, super().stop_finish, cancellable)

    def _lookup(self, name):
        interface = self.__dict__.get("interface")
        return None if interface is None else interface.lookup_method(name)

    def method(self, name, returns=None, with_invocation=False):
        """Makes a function, or a coroutine, the handler of a method: `@service.method("Add")`.

        It gets the arguments and returns the result. `returns` are the types of the result ("s");
        without, they are those of the interface, or follow from the value. What it raises the
        caller gets. With_invocation: the Commy.Invocation comes first.
        """

        def decorate(function):
            info = self._lookup(name)
            types = signature_of(info.out_args) if info and returns is None else returns
            self.handle(name, Handler(function, types, None, with_invocation))
            return function

        return decorate

    def streaming(
        self, name, kind=Commy.StreamKind.BOTH, returns=None, sends=None, with_invocation=False
    ):
        """As method(), for a method that streams: the function gets the stream first.

        It may be a generator, asynchronous or not: what it yields is written, each as a message of
        type `sends`.
        """

        def decorate(function):
            info = self._lookup(name)
            types = signature_of(info.out_args) if info and returns is None else returns
            notes = {note.key: note.value for note in info.annotations or ()} if info else {}
            type_ = sends or notes.get("org.commy.Stream.Out")
            self.handle_stream(name, kind, Handler(function, types, type_, with_invocation))
            return function

        return decorate


# --- the event loop ---


class Selector(selectors.EpollSelector):
    """Waits for asyncio's files by iterating a GLib context, in which they are one more source."""

    def __init__(self, context):
        super().__init__()
        self.context = context
        self.source = GLib.Timeout(GLib.MAXUINT32)
        self.source.add_unix_fd(self.fileno(), GLib.IOCondition.IN)
        self.source.set_callback(lambda *_: GLib.SOURCE_CONTINUE)
        self.source.attach(context)

    def select(self, timeout=None):
        wait = timeout is None or timeout > 0
        due = -1
        if timeout is not None and wait:
            due = GLib.get_monotonic_time() + int(timeout * 1000000) + 1
        self.source.set_ready_time(due)
        # It may have dispatched something else: then there is nothing here, and asyncio goes on
        # with what that made ready.
        self.context.iteration(wait)
        return super().select(0)

    def close(self):
        self.source.destroy()
        super().close()


@public
class EventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that is also the main loop of a GLib context: by default of this thread's."""

    def __init__(self, context=None):
        if context is None:
            context = GLib.MainContext.ref_thread_default()
            main = threading.current_thread() is threading.main_thread()
            if not main and context == GLib.MainContext.default():
                context = GLib.MainContext.new()
        self.context = context
        super().__init__(Selector(context))

    def run_forever(self):
        self.context.push_thread_default()
        try:
            super().run_forever()
        finally:
            self.context.pop_thread_default()


@public
def run(main):
    """As asyncio.run(), on an EventLoop."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(main)
