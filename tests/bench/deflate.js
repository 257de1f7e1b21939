// Both ends of the compression benchmark, made of Node's ws.
//
//   node deflate.js echo PORT THRESHOLD             echoes, with permessage-deflate
//   node deflate.js load URL SIZE SECONDS PID deflate|plain THRESHOLD
//                        16 connections with one message each on its way; says what a message cost
//                        the process PID, in microseconds of CPU, and how many there were
'use strict';
const fs = require('fs');
const { WebSocket, WebSocketServer } = require('ws');

const CONNECTIONS = 16;
const TICKS_PER_S = 100; // of /proc/PID/stat, whatever the kernel's own are

// What a feed of prices looks like; no two alike.
function message(size, number) {
    let seed = number * 2654435761 >>> 0;
    const chance = (below) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return (seed >>> 8) % below;
    };
    let text = `{"type":"update","sequence":${number},"items":[`;
    while (text.length < size)
        text += `{"symbol":"S${chance(500)}","price":${chance(90000) / 100},` +
            `"volume":${chance(100000)},"user":"u${chance(1048576).toString(16)}"},`;
    return text.slice(0, size);
}

function cpuOf(pid) {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

function echo(port, threshold) {
    const server = new WebSocketServer({
        host: '127.0.0.1', port, perMessageDeflate: { threshold },
    });
    server.on('connection', (connection) =>
        connection.on('message', (data, isBinary) => connection.send(data, { binary: isBinary })));
}

function load(url, size, seconds, pid, deflate, threshold) {
    const messages = Array.from({ length: 997 }, (_, number) => message(size, number));
    let done = 0;
    let opened = 0;
    const measure = () => {
        const cpu = cpuOf(pid);
        const before = done;
        setTimeout(() => {
            const count = done - before;
            console.log(((cpuOf(pid) - cpu) / count * 1e6).toFixed(2), Math.round(count / seconds));
            process.exit(0);
        }, seconds * 1000);
    };
    for (let i = 0; i < CONNECTIONS; i++) {
        let next = i * 61;
        const connection = new WebSocket(url, { perMessageDeflate: deflate && { threshold } });
        const send = () => connection.send(messages[next % messages.length]);
        connection.on('open', () => {
            send();
            if (++opened === CONNECTIONS)
                setTimeout(measure, 500);
        });
        connection.on('message', (data) => {
            if (data.length !== size || data.toString() !== messages[next++ % messages.length])
                throw new Error('another message came back');
            done++;
            send();
        });
        connection.on('close', (code) => { throw new Error(`closed: ${code}`); });
    }
}

const [role, ...rest] = process.argv.slice(2);
if (role === 'echo')
    echo(Number(rest[0]), Number(rest[1]));
else
    load(rest[0], Number(rest[1]), Number(rest[2]), rest[3], rest[4] === 'deflate', Number(rest[5]));
