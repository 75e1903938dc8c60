// A client on stanza (stanzajs.org) over WebSocket, driven by a test through its standard input.
//
//     node client.mjs URL JID PASSWORD
//
// A line asks for something, its words separated by tabs: "connect", "say TO TEXT", "cut" (the network is gone), "leave".
// Lines tell what happened: "online JID", "resumed JID", "refused WHY", "message FROM TEXT", "gone".

import { createInterface } from 'node:readline';

import { createClient } from 'stanza';

const [url, jid, password] = process.argv.slice(2);
const client = createClient({
    jid,
    password,
    resource: 'stanza',
    autoReconnect: true,
    transports: { websocket: url, bosh: false },
});

function tell(...words) {
    process.stdout.write(`${words.join('\t').replaceAll('\n', ' ')}\n`);
}

client.on('session:started', () => {
    client.sendPresence();
    tell('online', client.jid);
});
client.on('stream:management:resumed', () => tell('resumed', client.jid));
client.on('auth:failed', () => tell('refused', 'auth:failed'));
client.on('stream:error', (error) => tell('refused', error.condition));
client.on('message', (message) => {
    if (message.body) tell('message', message.from, message.body);
});
client.on('disconnected', () => tell('gone'));

const requests = {
    connect: () => client.connect(),
    say: (to, body) => client.sendMessage({ to, body, type: 'chat' }),
    cut: () => client.transport.socket.terminate(),
    leave: () => client.disconnect(),
};

createInterface({ input: process.stdin })
    .on('line', (line) => {
        const [request, ...words] = line.split('\t');
        requests[request](...words);
    })
    .on('close', () => process.exit(0));
