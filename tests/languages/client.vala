// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls what polyglot.xml says over the transport that the first argument names; asynchronously,
// and offers and calls something of its own.

const string SERVICE = "org.example.Polyglot";

void check (string name, bool passed) {
    print ("%s %s\n", passed ? "ok" : "not ok", name);
}

async void calls (Commy.Client client) throws Error {
    var answer = yield client.call ("Greet", new Variant ("(s)", "Ada"), null, null);
    check ("a-call-is-answered", answer.get_child_value (0).get_string () == "hello, Ada");
    var data = new Bytes ({ 1, 2, 0, 255 });
    var raw = yield client.call_bytes ("Raw", data, null, null);
    check ("raw-bytes-come-back", raw.compare (data) == 0);
    var refused = false;
    try {
        yield client.call ("Fail", new Variant ("(s)", "as asked"), null, null);
    } catch (Commy.Error.REMOTE error) {
        refused = Commy.Error.get_remote (error).has_suffix ("as asked");
    }
    check ("an-error-arrives", refused);
    answer = client.call_sync ("Greet", new Variant ("(s)", "Bob"), null);
    check ("a-call-may-wait", answer.get_child_value (0).get_string () == "hello, Bob");
}

async void streams (Commy.Client client) throws Error {
    var stream = yield client.open_stream ("Count", new Variant ("(u)", 3000), null, null);
    uint32 expected = 0;
    Variant? message;
    while ((message = yield stream.read (null)) != null) {
        if (message.get_uint32 () == expected)
            expected++;
    }
    var result = yield stream.wait_result (null);
    check ("a-stream-is-read",
           expected == 3000 && result.get_child_value (0).get_uint32 () == 3000);
    stream = yield client.open_stream ("Sum", null, null, null);
    for (int64 number = 0; number < 1000; number++)
        yield stream.write (new Variant.int64 (number), null);
    stream.close_write ();
    result = yield stream.wait_result (null);
    check ("a-stream-is-written", result.get_child_value (0).get_int64 () == 499500);
}

async void offers (Commy.Mesh mesh) throws Error {
    var service = new Commy.Service (mesh, "org.example.Own", null);
    service.handle ("Double", (service, invocation) => {
        var number = invocation.get_parameters ().get_child_value (0).get_int32 ();
        invocation.return_value (new Variant ("(i)", 2 * number));
    });
    yield service.start (null);
    var client = new Commy.Client (mesh, "org.example.Own");
    var answer = yield client.call ("Double", new Variant ("(i)", 21), null, null);
    check ("an-own-service-answers", answer.get_child_value (0).get_int32 () == 42);
    yield service.stop (null);
}

async void run (string transport) throws Error {
    var mesh = new Commy.Mesh ("test");
    yield mesh.join (null);
    var client = new Commy.Client (mesh, SERVICE);
    yield calls (client);
    yield streams (client);
    var decision = client.explain (64, null);
    check ("the-decision-names-the-path", decision.get_transport () == transport);
    if (transport != "tls")
        yield offers (mesh);
    yield mesh.leave (null);
}

int main (string[] args) {
    var loop = new MainLoop ();
    var status = 1;
    run.begin (args[1], (source, result) => {
        try {
            run.end (result);
            status = 0;
        } catch (Error error) {
            printerr ("%s\n", error.message);
        }
        loop.quit ();
    });
    loop.run ();
    return status;
}
