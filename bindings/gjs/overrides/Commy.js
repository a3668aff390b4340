// SPDX-License-Identifier: LGPL-2.1-or-later
// What gjs has beyond introspection: promises, services of functions, for await.
// Everything that introspection gives stays as it is.
/* exported _init */
const {Gio, GLib} = imports.gi;

const PROMISES = {
    Mesh: ['join', 'leave'],
    Client: ['call', 'call_bytes', 'open_stream'],
    Service: ['start', 'stop'],
    Stream: ['read', 'read_bytes', 'wait_result', 'write', 'write_bytes'],
};

// --- values ---

// Types such as 'si' and as many values: the tuple of a call.
function pack(types, ...values) {
    return new GLib.Variant(`(${types})`, values);
}

// No result is undefined, one result itself, several are an array.
function unpackResult(variant) {
    const values = variant.n_children() === 1
        ? [unpack(variant.get_child_value(0))]
        : unpack(variant);
    return values.length < 2 ? values[0] : values;
}

// As recursiveUnpack(), but an array of bytes is a Uint8Array.
function unpack(variant) {
    const type = variant.get_type_string();
    if (type === 'ay')
        return variant.get_data_as_bytes().toArray();
    if (!type.includes('ay') && !type.includes('v'))
        return variant.recursiveUnpack();
    if (type === 'v')
        return unpack(variant.get_variant());
    const children = [];
    for (let i = 0; i < variant.n_children(); i++)
        children.push(unpack(variant.get_child_value(i)));
    if (type[0] === 'm')
        return children.length > 0 ? children[0] : null;
    return type.startsWith('a{') ? Object.fromEntries(children) : children;
}

function isVariant(value) {
    return value instanceof GLib.Variant;
}

function packResult(types, value) {
    if (isVariant(value) && value.get_type_string()[0] === '(')
        return value;
    if (value !== undefined && !types)
        throw new TypeError('a handler that returns something says of what types: {returns: ...}');
    if (!types)
        return pack('');
    // One type, one value; else an array of them.
    return GLib.VariantType.string_is_valid(types) ? pack(types, value) : pack(types, ...value);
}

// --- offering ---

function answerError(invocation, error) {
    if (error instanceof GLib.Error) {
        invocation.return_gerror(error);
        return;
    }
    // What is thrown need not be an Error.
    if (error instanceof Error)
        logError(error, `the handler of ${invocation.get_method()} failed`);
    invocation.return_error(error instanceof Error ? `${error.name}: ${error.message}` : `${error}`);
}

function answer(invocation, types, value) {
    if (invocation.get_bytes() !== null && value instanceof Uint8Array)
        invocation.return_bytes(new GLib.Bytes(value));
    else
        invocation.return_value(packResult(types, value));
}

async function writeAll(stream, type, messages) {
    for await (const message of messages)
        await stream.send(type, message);
}

function argumentsOf(invocation) {
    const bytes = invocation.get_bytes();
    const values = bytes === null ? unpack(invocation.get_parameters()) : [bytes.toArray()];
    const stream = invocation.get_stream();
    return stream === null ? values : [stream, ...values];
}

function isGenerator(value) {
    return value && typeof value.next === 'function';
}

// What the interface says of a method is what the options leave open.
function typesOf(service, name, options) {
    const info = service._interface ? service._interface.lookup_method(name) : null;
    const notes = info ? info.annotations : [];
    const out = notes.find(note => note.key === 'org.commy.Stream.Out');
    return {
        returns: info ? info.out_args.map(argument => argument.signature).join('') : '',
        sends: out ? out.value : 's',
        ...options,
    };
}

function onCall(invocation, func, {returns, sends}) {
    try {
        const stream = invocation.get_stream();
        let result = func(...argumentsOf(invocation));
        if (stream !== null && isGenerator(result))
            result = writeAll(stream, sends, result);
        if (result instanceof Promise) {
            result.then(value => answer(invocation, returns, value))
                .catch(error => answerError(invocation, error));
        } else {
            answer(invocation, returns, result);
        }
    } catch (error) {
        answerError(invocation, error);
    }
}

function readInterface(xml, name) {
    const node = Gio.DBusNodeInfo.new_for_xml(xml);
    const info = node.lookup_interface(name) ?? node.interfaces[0];
    if (!info)
        throw new Error('the XML has no interface');
    return info;
}

function addService(Commy) {
    const make = Commy.Service.new;

    // As in C; the interface may be XML.
    Commy.Service.new = function (mesh, name, description = null) {
        const info = typeof description === 'string' ? readInterface(description, name) : description;
        const service = make.call(Commy.Service, mesh, name, info);
        service._interface = info;
        return service;
    };
    // The handler of a method: gets the arguments, returns the result or a promise of it. `returns`
    // are the types of the result; without, they are those of the interface.
    Commy.Service.prototype.method = function (name, func, options = {}) {
        const types = typesOf(this, name, options);
        this.handle(name, (_service, invocation) => onCall(invocation, func, types));
    };
    // The same for a method that streams: the stream comes first. Of a generator, asynchronous or
    // not, each value is written as a message of type `sends`.
    Commy.Service.prototype.streaming = function (name, kind, func, options = {}) {
        const types = typesOf(this, name, options);
        this.handle_stream(name, kind, (_service, invocation) => onCall(invocation, func, types));
    };
}

// --- calling ---

function addClient(Commy) {
    // await client.invoke('Add', 'ii', 2, 3)
    Commy.Client.prototype.invoke = async function (method, types = '', ...values) {
        return unpackResult(await this.call(method, pack(types, ...values), null, null));
    };
    Commy.Client.prototype.invokeSync = function (method, types = '', ...values) {
        return unpackResult(this.call_sync(method, pack(types, ...values), null, null));
    };
    // const stream = await client.stream('Below', 'u', 100)
    Commy.Client.prototype.stream = function (method, types = '', ...values) {
        return this.open_stream(method, pack(types, ...values), null, null);
    };
}

function addStream(Commy) {
    Commy.Stream.prototype.send = function (type, value) {
        return this.write(isVariant(value) ? value : new GLib.Variant(type, value), null);
    };
    Commy.Stream.prototype.result = async function () {
        return unpackResult(await this.wait_result(null));
    };
    Commy.Stream.prototype[Symbol.asyncIterator] = async function* () {
        for (;;) {
            let message;
            try {
                message = await this.read(null);
            } catch (error) {
                if (Commy.errorNumber(error) !== 'CMY0310')
                    throw error;
                message = await this.read_bytes(null);
            }
            if (message === null)
                return;
            yield isVariant(message) ? unpack(message) : message.toArray();
        }
    };
}

function _init() {
    const Commy = this;

    for (const [name, methods] of Object.entries(PROMISES)) {
        for (const method of methods)
            Gio._promisify(Commy[name].prototype, method, `${method}_finish`);
    }
    Commy.pack = pack;
    Commy.unpack = unpack;
    // The number of an error as people read it, such as 'CMY0301'; null if it is none of Commy's.
    Commy.errorNumber = error =>
        error instanceof GLib.Error && error.domain === Commy.error_quark()
            ? `CMY${String(error.code).padStart(4, '0')}`
            : null;
    addService(Commy);
    addClient(Commy);
    addStream(Commy);
}
