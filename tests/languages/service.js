// SPDX-License-Identifier: LGPL-2.1-or-later
// Offers what polyglot.xml says, until it is told to end.
imports.gi.versions.Commy = '1';
const {Commy, Gio, GLib} = imports.gi;

const NAME = 'org.example.Polyglot';
const SIGTERM = 15;
const [, text] = GLib.file_get_contents(`${GLib.getenv('COMMY_SOURCE_DIR')}/tests/languages/polyglot.xml`);
const XML = new TextDecoder().decode(text);

function offer(service) {
    service.method('Greet', name => `hello, ${name}`);
    service.method('Divide', async (a, b) => {
        await null;
        return [Math.floor(a / b), a % b];
    });
    service.method('Fail', why => {
        throw new GLib.Error(Gio.io_error_quark(), Gio.IOErrorEnum.FAILED, why);
    });
    service.method('Echo', data => data);
    service.method('Raw', data => data);
    service.streaming('Count', Commy.StreamKind.SERVER, async (stream, end) => {
        for (let number = 0; number < end; number++)
            await stream.send('u', number);
        return end;
    });
    service.streaming('Sum', Commy.StreamKind.CLIENT, async stream => {
        let sum = 0;
        for await (const number of stream)
            sum += number;
        return sum;
    });
    service.streaming('Shout', Commy.StreamKind.BOTH, async function* (stream) {
        for await (const text of stream)
            yield text.toUpperCase();
    });
}

async function main(loop) {
    const mesh = Commy.Mesh.new('test');
    await mesh.join(null);
    const service = Commy.Service.new(mesh, NAME, XML);
    offer(service);
    await service.start(null);
    print('ready');
    await new Promise(resolve => {
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, SIGTERM, () => {
            resolve();
            return GLib.SOURCE_REMOVE;
        });
    });
    await service.stop(null);
    await mesh.leave(null);
    loop.quit();
}

const loop = GLib.MainLoop.new(null, false);
main(loop).catch(error => {
    logError(error);
    imports.system.exit(1);
});
loop.run();
