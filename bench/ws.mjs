// Node's ws, as its README broadcasts ("Server broadcast") and compresses ("WebSocket compression").
// Takes a port and the file of the fragment.

import { readFileSync } from 'node:fs';
import { WebSocket, WebSocketServer } from 'ws';

const [port, fragment] = process.argv.slice(2);
const [before, after] = readFileSync(fragment, 'utf8').split('{message}');

const wss = new WebSocketServer({
  port: Number(port),
  host: '127.0.0.1',
  // For those who offer it. All but the threshold is the README's; at its 1,024 bytes, frames of 1,000 would not be
  // compressed at all.
  perMessageDeflate: {
    zlibDeflateOptions: { chunkSize: 1024, memLevel: 7, level: 3 },
    zlibInflateOptions: { chunkSize: 10 * 1024 },
    clientNoContextTakeover: true,
    serverNoContextTakeover: true,
    serverMaxWindowBits: 10,
    concurrencyLimit: 10,
    threshold: 256,
  },
});

wss.on('connection', (ws) => {
  ws.on('error', console.error);

  ws.on('message', (data) => {
    // A buffer, as in the README: a string would be encoded once for each client.
    const frame = Buffer.from(before + data + after);
    wss.clients.forEach((client) => {
      if (client.readyState === WebSocket.OPEN) {
        client.send(frame, { binary: false });
      }
    });
  });
});
