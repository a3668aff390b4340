// SPDX-License-Identifier: LGPL-2.1-or-later
// What gjs has beyond introspection. With an argument: a program that ends in that way.
imports.gi.versions.Commy = '1';
const {Commy, Gio, GLib} = imports.gi;
const System = imports.system;

const NAME = 'org.example.Test';
const MANY = 100;
const loop = GLib.MainLoop.new(null, false);

function check(name, passed) {
    print(passed ? 'ok' : 'not ok', name);
}

function equal(a, b) {
    return JSON.stringify(a) === JSON.stringify(b);
}

// [number, message] of what it rejects with
async function errorOf(promise) {
    try {
        await promise;
    } catch (error) {
        return [Commy.errorNumber(error), error.message];
    }
    return [];
}

function hold() {
    const held = {};
    held.promise = new Promise(resolve => {
        held.release = resolve;
    });
    return held;
}

// --- values ---

function valuesKeepTheirTypes() {
    const packed = Commy.pack('aya{sv}asmxt', new Uint8Array([0, 255]),
        {k: new GLib.Variant('ay', new Uint8Array([7]))}, ['x'], null, 5);
    const [bytes, dictionary, texts, nothing, number] = Commy.unpack(packed);
    check('values-keep-their-types', bytes instanceof Uint8Array && equal([...bytes], [0, 255]) &&
        dictionary.k[0] === 7 && equal(texts, ['x']) && nothing === null && number === 5);
}

// --- topics ---

async function topics() {
    const mesh = Commy.Mesh.new('test');
    await mesh.join(null);
    const options = Commy.PublisherOptions.new();
    options.set_history(2);
    const publisher = Commy.Publisher.new(mesh, 'news.sports', options);
    publisher.start_sync(null);
    for (const number of [0, 1, 2])
        publisher.publish(new GLib.Variant('i', number));
    const wishes = Commy.SubscribeOptions.new();
    wishes.set_history(10);
    const there = hold();
    const got = [];
    const subscription = mesh.subscribe('news.*', wishes, (_, publication) => {
        got.push(publication.get_value().unpack());
        if (got.length === 2)
            there.release();
    });
    await there.promise;
    subscription.close();
    publisher.close();
    await mesh.leave(null);
    check('a-topic-is-published-and-read', equal(got, [1, 2]));
}

// --- calls ---

async function manyCalls(service, client) {
    const everybody = hold();
    let inside = 0;
    service.method('Wait', async number => {
        if (++inside === MANY)
            everybody.release();
        await everybody.promise;
        return number;
    }, {returns: 'i'});
    await service.start(null);
    const numbers = Array.from({length: MANY}, (_, i) => i);
    const answers = await Promise.all(numbers.map(i => client.invoke('Wait', 'i', i)));
    check('a-hundred-calls-are-in-flight-at-once', equal(answers, numbers));
}

async function failures(service, client) {
    service.method('Throw', () => {
        throw new RangeError('of a function');
    });
    service.method('Later', async () => {
        await null;
        throw new Error('of a promise');
    });
    service.method('Glib', () => {
        throw new GLib.Error(Gio.io_error_quark(), Gio.IOErrorEnum.FAILED, 'of glib');
    });
    service.method('Text', () => {
        throw 'a text'; // eslint-disable-line no-throw-literal
    });
    service.method('Untyped', () => 5);
    service.method('Mistyped', () => ({}), {returns: 'as'});
    service.streaming('Generator', Commy.StreamKind.SERVER, function* () {
        yield 'x';
        throw new Error('of a generator');
    });
    await service.start(null);
    const expected = {
        Throw: 'RangeError: of a function',
        Later: 'Error: of a promise',
        Glib: 'of glib',
        Text: 'a text',
        Untyped: 'TypeError: a handler',
        Mistyped: '',
    };
    for (const [method, text] of Object.entries(expected)) {
        const [number, message] = await errorOf(client.invoke(method));
        check(`whatever-a-handler-throws-the-caller-gets/${method}`,
            number === 'CMY0311' && message.includes(text));
    }
    const stream = await client.stream('Generator');
    const [number, message] = await errorOf(stream.result());
    check('whatever-a-handler-throws-the-caller-gets/Generator',
        number === 'CMY0311' && message.includes('of a generator'));
}

async function cancellation(service, client) {
    const entered = hold(), leave = hold();
    service.method('Hang', async () => {
        entered.release();
        await leave.promise;
    });
    await service.start(null);
    const cancellable = new Gio.Cancellable();
    const call = client.call('Hang', null, null, cancellable);
    await entered.promise;
    cancellable.cancel();
    check('a-cancellable-cancels-the-call', (await errorOf(call))[0] === 'CMY0303');
    const options = Commy.CallOptions.new();
    options.set_timeout(20000);
    check('a-deadline-ends-the-call',
        (await errorOf(client.call('Hang', null, options, null)))[0] === 'CMY0302');
    leave.release();
}

async function interfaces(service, client) {
    await service.start(null);
    let message = '';
    try {
        Commy.Service.new(null, NAME, '<node/>');
    } catch (error) {
        message = error.message;
    }
    check('xml-without-an-interface-is-told', message.includes('no interface'));
}

async function callbacks(service, client) {
    service.handle('Old', (_service, invocation) => invocation.return_value(Commy.pack('s', 'way')));
    await service.start(null);
    const answer = await new Promise(resolve => {
        client.call('Old', null, null, null, (source, result) => resolve(source.call_finish(result)));
    });
    check('callbacks-still-work', equal(answer.recursiveUnpack(), ['way']));
}

async function decisions(service, client) {
    await service.start(null);
    const whatIf = Commy.WhatIf.new(['objective=throughput']);
    const decision = client.explain(64, whatIf, null);
    const told = JSON.stringify(JSON.parse(decision.to_json()));
    check('decisions-are-told', decision.to_string().includes(decision.get_transport()) &&
        told.includes(decision.get_transport()) && decision.get_confidence() >= 0);
    let number = null;
    try {
        Commy.WhatIf.new(['objective=beauty']);
    } catch (error) {
        number = Commy.errorNumber(error);
    }
    check('a-wrong-question-is-told', number === 'CMY0002');
    check('other-errors-have-no-number', Commy.errorNumber(new Error('x')) === null);
}

// --- streams ---

async function mixedStreams(service, client) {
    service.streaming('Same', Commy.StreamKind.BOTH, async stream => {
        for await (const message of stream) {
            if (message instanceof Uint8Array)
                await stream.write_bytes(new GLib.Bytes(message), null);
            else
                await stream.send('s', message);
        }
    });
    await service.start(null);
    const stream = await client.stream('Same');
    await stream.send('s', 'a');
    await stream.write_bytes(new GLib.Bytes(new Uint8Array([1, 2])), null);
    await stream.send('s', 'b');
    stream.close_write();
    const got = [];
    for await (const message of stream)
        got.push(message instanceof Uint8Array ? [...message] : message);
    check('values-and-bytes-mix-in-a-stream', equal(got, ['a', [1, 2], 'b']));
}

async function cancelledStreams(service, client) {
    const ended = hold();
    service.streaming('Endless', Commy.StreamKind.SERVER, async stream => {
        try {
            for (;;)
                await stream.send('s', 'x'.repeat(1000));
        } catch (error) {
            ended.release(Commy.errorNumber(error));
            throw error;
        }
    });
    await service.start(null);
    const stream = await client.stream('Endless');
    await stream.read(null);
    stream.cancel('enough');
    check('a-cancelled-stream-ends-its-handler', await ended.promise === 'CMY0303');
    check('a-cancelled-stream-has-no-result', (await errorOf(stream.result()))[0] === 'CMY0303');
}

// --- ownership ---

function countThreads() {
    const folder = Gio.File.new_for_path('/proc/self/task');
    const tasks = folder.enumerate_children('standard::name', Gio.FileQueryInfoFlags.NONE, null);
    let count = 0;
    for (const info of tasks) {
        const [, name] = GLib.file_get_contents(`/proc/self/task/${info.get_name()}/comm`);
        count += new TextDecoder().decode(name).startsWith('commy') ? 1 : 0;
    }
    return count;
}

// A mesh that is not left ends its thread with its last reference; each invocation and each stream
// that something kept would keep it.
async function useAndForget() {
    const mesh = Commy.Mesh.new('test');
    await mesh.join(null);
    const service = Commy.Service.new(mesh, NAME, null);
    const client = Commy.Client.new(mesh, NAME);
    service.method('Now', () => {});
    service.method('Later', async () => {
        await null;
    });
    service.streaming('Stream', Commy.StreamKind.BOTH, async function* (stream) {
        for await (const message of stream)
            yield message;
    });
    await service.start(null);
    for (let i = 0; i < 20; i++) {
        await client.invoke('Now');
        await client.invoke('Later');
        const stream = await client.stream('Stream');
        await stream.send('s', 'x');
        stream.close_write();
        await stream.result();
    }
    const threads = countThreads();
    await service.stop(null);
    return threads;
}

async function ownership() {
    const threads = await useAndForget();
    for (let i = 0; i < 200 && countThreads() > 0; i++) {
        System.gc();
        await new Promise(resolve => GLib.idle_add(GLib.PRIORITY_LOW, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        }));
    }
    check('nothing-of-a-call-is-kept', threads > 0 && countThreads() === 0);
}

// --- all of it ---

async function main() {
    valuesKeepTheirTypes();
    await ownership();
    await topics();
    for (const attempt of [manyCalls, failures, cancellation, callbacks, decisions, interfaces,
        mixedStreams, cancelledStreams]) {
        const mesh = Commy.Mesh.new('test');
        await mesh.join(null);
        const service = Commy.Service.new(mesh, NAME, null);
        await attempt(service, Commy.Client.new(mesh, NAME));
        await service.stop(null);
        await mesh.leave(null);
    }
}

// Ways to end a program that has not left its mesh.
async function end(how) {
    const mesh = Commy.Mesh.new('test');
    await mesh.join(null);
    const service = Commy.Service.new(mesh, NAME, null);
    service.method('Self', async () => {
        await null;
        return mesh.get_name() + service.get_instance_id();
    }, {returns: 's'});
    service.method('Hang', () => new Promise(() => {}));
    await service.start(null);
    mesh.service = service;
    const client = Commy.Client.new(mesh, NAME);
    await client.invoke('Self');
    if (how === 'with-a-call-under-way')
        client.invoke('Hang');
    if (how === 'by-an-exception')
        throw new Error('as asked');
}

let status = 1;
(ARGV.length > 0 ? end(ARGV[0]) : main()).then(() => {
    status = 0;
}).catch(logError).finally(() => loop.quit());
loop.run();
System.exit(status);
