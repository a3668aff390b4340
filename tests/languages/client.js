// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls what polyglot.xml says over the transport that the first argument names.
imports.gi.versions.Commy = '1';
const {Commy, GLib} = imports.gi;

const BYTES = new Uint8Array(256000).map((_, i) => i % 256);

function check(name, passed) {
    print(passed ? 'ok' : 'not ok', name);
}

function same(a, b) {
    return a.length === b.length && Array.from(a).every((item, i) => item === b[i]);
}

async function refuses(promise, number, text) {
    try {
        await promise;
    } catch (error) {
        return Commy.errorNumber(error) === number && error.message.includes(text);
    }
    return false;
}

async function calls(client) {
    check('a-call-is-answered', await client.invoke('Greet', 's', 'Ada') === 'hello, Ada');
    check('several-results-come-back', same(await client.invoke('Divide', 'ii', 17, 5), [3, 2]));
    check('a-value-of-bytes-comes-back', same(await client.invoke('Echo', 'ay', BYTES), BYTES));
    const raw = await client.call_bytes('Raw', new GLib.Bytes(BYTES), null, null);
    check('raw-bytes-come-back', same(raw.toArray(), BYTES));
    check('an-error-arrives',
        await refuses(client.invoke('Fail', 's', 'as asked'), 'CMY0311', 'as asked'));
    check('what-is-not-there-is-told', await refuses(client.invoke('Nope'), 'CMY0304', 'Nope'));
    check('wrong-types-are-told', await refuses(client.invoke('Greet', 'i', 5), 'CMY0310', ''));
    check('a-call-may-wait', client.invokeSync('Greet', 's', 'Bob') === 'hello, Bob');
}

async function streams(client) {
    let stream = await client.stream('Count', 'u', 3000);
    let expected = 0;
    for await (const number of stream)
        expected = number === expected ? expected + 1 : NaN;
    check('a-stream-is-read', expected === 3000 && await stream.result() === 3000);
    stream = await client.stream('Sum');
    for (let number = 0; number < 1000; number++)
        await stream.send('x', number);
    stream.close_write();
    check('a-stream-is-written', await stream.result() === 499500);
    stream = await client.stream('Shout');
    const answers = [];
    for (const text of ['one', 'two', 'three']) {
        await stream.send('s', text);
        answers.push((await stream.read(null)).unpack());
    }
    stream.close_write();
    for await (const text of stream)
        answers.push(text);
    check('a-stream-goes-both-ways', same(answers, ['ONE', 'TWO', 'THREE']));
    check('a-stream-ends-with-its-result', await stream.result() === undefined);
}

async function main(transport) {
    const mesh = Commy.Mesh.new('test');
    await mesh.join(null);
    const client = Commy.Client.new(mesh, 'org.example.Polyglot');
    await calls(client);
    await streams(client);
    check('the-decision-names-the-path', client.explain(64, null, null).get_transport() === transport);
    await mesh.leave(null);
}

const loop = GLib.MainLoop.new(null, false);
let status = 1;
main(ARGV[0]).then(() => {
    status = 0;
}).catch(logError).finally(() => loop.quit());
loop.run();
imports.system.exit(status);
