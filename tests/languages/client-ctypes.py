# SPDX-License-Identifier: LGPL-2.1-or-later
"""The flat part of the API through plain FFI, without introspection: opaque pointers and numbers."""
import ctypes
import json
import os
import sys

SERVICE = b"org.example.Polyglot"
P, S, Z = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t


class GError(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", ctypes.c_int), ("message", S)]


ERROR = ctypes.POINTER(ctypes.POINTER(GError))
FUNCTIONS = {
    "commy_mesh_new": (P, S, ERROR),
    "commy_mesh_join_sync": (ctypes.c_int, P, P, ERROR),
    "commy_mesh_leave_sync": (ctypes.c_int, P, P, ERROR),
    "commy_client_new": (P, P, S),
    "commy_client_call_bytes_sync": (P, P, S, P, P, P, ERROR),
    "commy_client_explain": (P, P, Z, P, P, ERROR),
    "commy_decision_get_transport": (S, P),
    "commy_decision_to_json": (P, P),
    "commy_decision_unref": (None, P),
    "commy_error_explain": (S, ctypes.c_int),
    "g_bytes_new": (P, S, Z),
    "g_bytes_get_data": (P, P, ctypes.POINTER(Z)),
    "g_bytes_unref": (None, P),
    "g_object_unref": (None, P),
    "g_error_free": (None, P),
    "g_free": (None, P),
}


def load():
    """libcommy brings GLib along: one handle finds both."""
    library = ctypes.CDLL(os.path.join(os.environ["LD_LIBRARY_PATH"], "libcommy-1.so.0"))
    for name, (result, *arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def check(name, passed):
    print("ok" if passed else "not ok", name, flush=True)


def take_error(library, error):
    """(code, message)"""
    told = error.contents.code, error.contents.message.decode()
    library.g_error_free(error)
    return told


def call(library, client, method, data):
    """(bytes, None) or (None, (code, message))"""
    error = ctypes.POINTER(GError)()
    argument = library.g_bytes_new(data, len(data))
    answer = library.commy_client_call_bytes_sync(client, method, argument, None, None, error)
    library.g_bytes_unref(argument)
    if not answer:
        return None, take_error(library, error)
    size = Z()
    start = library.g_bytes_get_data(answer, size)
    result = ctypes.string_at(start, size.value)
    library.g_bytes_unref(answer)
    return result, None


def main(transport):
    library = load()
    error = ctypes.POINTER(GError)()
    mesh = library.commy_mesh_new(b"test", error)
    check("joins", bool(mesh) and library.commy_mesh_join_sync(mesh, None, error) == 1)
    client = library.commy_client_new(mesh, SERVICE)
    data = bytes(range(256)) * 100
    check("bytes-come-back", call(library, client, b"Raw", data) == (data, None))
    result, refusal = call(library, client, b"Nope", data)
    check("an-error-has-its-number", result is None and refusal[1].startswith("CMY0304"))
    check("an-error-is-explained", bool(library.commy_error_explain(refusal[0])))
    decision = library.commy_client_explain(client, 64, None, None, error)
    chosen = library.commy_decision_get_transport(decision).decode()
    text = library.commy_decision_to_json(decision)
    record = json.loads(ctypes.string_at(text))
    check("the-decision-names-the-path", chosen == transport and transport in json.dumps(record))
    library.g_free(text)
    library.commy_decision_unref(decision)
    library.g_object_unref(client)
    check("leaves", library.commy_mesh_leave_sync(mesh, None, error) == 1)
    library.g_object_unref(mesh)


main(sys.argv[1])
