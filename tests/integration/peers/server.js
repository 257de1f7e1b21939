// A recording WebSocket server made of Node's ws.  Commands come as JSON lines on standard input,
// what happens goes out as JSON lines on standard output.  It ends when its input ends.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const https = require('https');
const readline = require('readline');
const { WebSocketServer } = require('ws');

const KEPT_BYTES_MAX = 4096;
const options = JSON.parse(process.argv[2] || '{}');
let refuseWith = null;
let subprotocols = options.subprotocols || [];
let latest = null;
let count = 0;

function tell(event) {
    process.stdout.write(JSON.stringify(event) + '\n');
}

function describe(data, isBinary) {
    return {
        kind: isBinary ? 'binary' : 'text',
        size: data.length,
        digest: crypto.createHash('sha256').update(data).digest('hex'),
        head: data.subarray(0, KEPT_BYTES_MAX).toString('latin1'),
    };
}

function payload(part) {
    return part.base64 === undefined ? part.text : Buffer.from(part.base64, 'base64');
}

// As many numbered messages as options.push asks for; ws queues what TCP does not take.
function push(connection) {
    const noise = crypto.randomBytes(options.push.size).toString('base64');
    for (let number = 0; number < options.push.count; number++) {
        const start = String(number).padStart(8, '0');
        connection.send(start + noise.slice(0, options.push.size - start.length),
            { compress: false });
    }
}

const listener = options.tls
    ? https.createServer({
        cert: fs.readFileSync(options.tls.cert),
        key: fs.readFileSync(options.tls.key),
        minVersion: options.tls.version,
        maxVersion: options.tls.version,
    })
    : http.createServer();
const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: options.deflate,
    handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) || false,
});

listener.on('upgrade', (request, socket, head) => {
    tell({ event: 'request' });
    if (refuseWith !== null) {
        socket.end(`HTTP/1.1 ${refuseWith} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        return;
    }
    server.handleUpgrade(request, socket, head, (connection) => {
        const number = ++count;
        latest = connection;
        tell({ event: 'open', number, path: request.url, headers: request.headers });
        connection.on('message', (data, isBinary) => {
            tell({ event: 'message', number, ...describe(data, isBinary) });
            if (options.echo)
                connection.send(data, { binary: isBinary });
        });
        if (options.push)
            push(connection);
        connection.on('ping', () => tell({ event: 'ping', number }));
        connection.on('error', () => {}); // 'close' follows
        connection.on('close', (code, reason) =>
            tell({ event: 'close', number, code, reason: reason.toString() }));
    });
});

const commands = {
    send: (command) => latest.send(payload(command)),
    fragments: (command) => command.parts.forEach((part, index) =>
        latest.send(payload(part), { fin: index === command.parts.length - 1 })),
    close: (command) => latest.close(command.code, command.reason),
    closeEmpty: () => latest.close(),
    ping: (command) => {
        latest.once('pong', (data) => tell({ event: 'pong', payload: data.toString() }));
        latest.ping(command.payload);
    },
    answerWith: (command) => { refuseWith = command.status; },
    subprotocols: (command) => { subprotocols = command.names; },
    read: (command) => command.reading ? latest.resume() : latest.pause(),
};

readline.createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on('line', (line) => {
        const command = JSON.parse(line);
        commands[command.do](command);
        tell({ event: 'done' });
    })
    .on('close', () => process.exit(0));

listener.listen(options.port || 0, '127.0.0.1', () =>
    tell({ event: 'listening', port: listener.address().port }));
