// Socket.IO, as its documentation broadcasts ("Broadcasting events") and saves memory ("Memory usage").
// It does not compress unless asked to. Takes a port and the file of the fragment.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const [port, fragment] = process.argv.slice(2);
const [before, after] = readFileSync(fragment, 'utf8').split('{message}');

const server = createServer();
const io = new Server(server);

io.engine.on('connection', (rawSocket) => {
  rawSocket.request = null;
});

io.on('connection', (socket) => {
  socket.on('message', (text) => {
    io.emit('message', before + text + after);
  });
});

server.listen(Number(port), '127.0.0.1');
