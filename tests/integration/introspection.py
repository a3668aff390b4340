# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first call from another language: everything here comes from introspection alone."""
import sys

import gi

gi.require_version("Commy", "1")
from gi.repository import Commy, Gio, GLib  # noqa: E402

XML = """<node><interface name='org.example.Hello'><method name='Greet'>
<arg type='s' direction='in'/><arg type='s' direction='out'/></method></interface></node>"""


def on_greet(_service, invocation, *_data):
    (name,) = invocation.get_parameters().unpack()
    invocation.return_value(GLib.Variant("(s)", (f"hello, {name}",)))


def main():
    mesh = Commy.Mesh.new("test")
    mesh.join_sync(None)
    interface = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
    service = Commy.Service.new(mesh, "org.example.Hello", interface)
    service.handle("Greet", on_greet)
    service.start_sync(None)
    client = Commy.Client.new(mesh, "org.example.Hello")
    loop = GLib.MainLoop()
    answers = []

    def on_answer(source, result):
        answers.append(source.call_finish(result).unpack()[0])
        loop.quit()

    client.call("Greet", GLib.Variant("(s)", ("world",)), None, None, on_answer)
    loop.run()
    decision = client.explain(64, None, None)
    try:
        client.call_sync("Greet", GLib.Variant("(s)", ("again",)), None, None)
        refused = ""
    except GLib.Error as error:
        refused = error.message
    checks = [
        ("an asynchronous call is answered", answers == ["hello, world"]),
        ("the decision names the path", decision.get_transport() == "inproc"),
        ("a synchronous call of the own context is refused", "CMY0307" in refused),
    ]
    mesh.leave_sync(None)
    print(f"1..{len(checks)}")
    for number, (what, ok) in enumerate(checks, 1):
        print(f"{'ok' if ok else 'not ok'} {number} /introspection/python/{what.replace(' ', '-')}")
    return 0 if all(ok for _, ok in checks) else 1


sys.exit(main())
