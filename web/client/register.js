// Makes an account over the server's own WebSocket, as any chat app does: RFC 7395 framing, the invitation's token
// first (XEP-0379 §3, XEP-0445 §4), then registration (XEP-0077 §3.1). So there is one door, with one set of limits.

const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';
const CLIENT = 'jabber:client';
const REGISTER = 'jabber:iq:register';
const PREAUTH = 'urn:xmpp:pars:0';
const STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas';

// A server that says nothing for so long is not there.
const SILENCE_MILLISECONDS_MAX = 20_000;

/** The server refused; `condition` is the stanza error's (RFC 6120 §8.3.3), or `closed`. */
export class RegistrationError extends Error {
    constructor(condition) {
        super(condition);
        this.condition = condition;
    }
}

function element(ns, name, attributes = {}, ...children) {
    const made = document.implementation.createDocument(ns, name, null).documentElement;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
}

function text(ns, name, value) {
    return element(ns, name, {}, value);
}

/** One connection; each request waits for its answer. */
class Stream {
    constructor(url) {
        this.socket = new WebSocket(url, 'xmpp');
        this.waiting = [];
        this.frames = [];
        this.ended = false;
        this.socket.addEventListener('message', ({ data }) => {
            this.frames.push(new DOMParser().parseFromString(data, 'text/xml').documentElement);
            this.pass();
        });
        for (const event of ['close', 'error']) {
            this.socket.addEventListener(event, () => {
                this.ended = true;
                this.pass();
            });
        }
    }

    pass() {
        while (this.waiting.length && this.frames.length) this.waiting.shift().resolve(this.frames.shift());
        if (this.ended) for (const one of this.waiting.splice(0)) one.reject(new RegistrationError('closed'));
    }

    opened() {
        return new Promise((resolve, reject) => {
            this.socket.addEventListener('open', resolve);
            this.socket.addEventListener('close', () => reject(new RegistrationError('closed')));
        });
    }

    send(made) {
        this.socket.send(new XMLSerializer().serializeToString(made));
    }

    next() {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new RegistrationError('closed')), SILENCE_MILLISECONDS_MAX);
            const settle = (how) => (value) => { clearTimeout(timer); how(value); };
            this.waiting.push({ resolve: settle(resolve), reject: settle(reject) });
            this.pass();
        });
    }

    async request(domain, payload) {
        const id = crypto.randomUUID();
        this.send(element(CLIENT, 'iq', { type: 'set', to: domain, id }, payload));
        for (;;) {
            const frame = await this.next();
            if (frame.localName !== 'iq' || frame.getAttribute('id') !== id) continue;
            if (frame.getAttribute('type') === 'result') return;
            const condition = frame.getElementsByTagNameNS(STANZAS, '*')[0];
            throw new RegistrationError(condition?.localName ?? 'undefined-condition');
        }
    }

    close() {
        if (this.socket.readyState === WebSocket.OPEN) this.send(element(FRAMING, 'close'));
        this.socket.close();
    }
}

/** Registers `name` at `domain`; `token` is an invitation's, if there is one. */
export async function register(url, domain, name, password, token) {
    const stream = new Stream(url);
    try {
        await stream.opened();
        stream.send(element(FRAMING, 'open', { to: domain, version: '1.0' }));
        // The answer to <open/>, then what the stream offers.
        for (let frame = await stream.next(); frame.localName !== 'features'; frame = await stream.next());
        if (token) await stream.request(domain, element(PREAUTH, 'preauth', { token }));
        await stream.request(
            domain,
            element(REGISTER, 'query', {}, text(REGISTER, 'username', name), text(REGISTER, 'password', password)),
        );
    } finally {
        stream.close();
    }
}
