// A WebSocket client made of Node's ws, driven by JSON lines like server.js.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const readline = require('readline');
const { WebSocket } = require('ws');

const KEPT_BYTES_MAX = 4096;
const options = JSON.parse(process.argv[2]);

function tell(event) {
    process.stdout.write(JSON.stringify(event) + '\n');
}

function payload(part) {
    return part.base64 === undefined ? part.text : Buffer.from(part.base64, 'base64');
}

const connection = new WebSocket(options.url, options.subprotocols || [], {
    headers: options.headers || {},
    origin: options.origin,
    perMessageDeflate: options.deflate,
    ca: options.ca && fs.readFileSync(options.ca),
});
connection.on('open', () => tell({
    event: 'open',
    subprotocol: connection.protocol,
    extensions: connection.extensions,
}));
connection.on('unexpected-response', (request, response) => {
    tell({ event: 'refused', status: response.statusCode });
    request.destroy();
});
connection.on('message', (data, isBinary) => tell({
    event: 'message',
    kind: isBinary ? 'binary' : 'text',
    size: data.length,
    digest: crypto.createHash('sha256').update(data).digest('hex'),
    head: data.subarray(0, KEPT_BYTES_MAX).toString('latin1'),
}));
connection.on('ping', () => tell({ event: 'ping' }));
connection.on('pong', () => tell({ event: 'pong' }));
connection.on('error', (error) => tell({ event: 'error', text: String(error) }));
connection.on('close', (code, reason) => tell({ event: 'close', code, reason: reason.toString() }));

const commands = {
    send: (command) => connection.send(payload(command)),
    fragments: (command) => command.parts.forEach((part, index) =>
        connection.send(payload(part), { fin: index === command.parts.length - 1 })),
    close: (command) => connection.close(command.code, command.reason),
    closeEmpty: () => connection.close(),
    ping: () => connection.ping(),
    read: (command) => command.reading ? connection.resume() : connection.pause(),
};

readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on('line', (line) => {
        const command = JSON.parse(line);
        commands[command.do](command);
        tell({ event: 'done' });
    })
    .on('close', () => process.exit(0));
