// Makes an account over the server's API, which has the rules and limits of every other door. Where registration is open, the
// server may ask for work first (XEP-0158): it is done in a worker, so that the page stays alive.

/**
 * The server refused; `code` says why, in the words of stanza errors (RFC 6120 §8.3.3), and `reason` what exactly is wrong
 * with the username or the password.
 */
export class RegistrationError extends Error {
    constructor({ code = 'undefined-condition', reason }) {
        super(code);
        this.code = code;
        this.reason = reason;
    }
}

/** Challenges that are tried: one may become void in between, when the server starts anew or many people register. */
const TRIES_MAX = 3;

async function answerOf(response) {
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new RegistrationError(answer.error ?? {});
    return answer;
}

/** Finds the text that a challenge asks for. */
function solve({ prefix, label }) {
    return new Promise((resolve, reject) => {
        const worker = new Worker(new URL('./work.js', import.meta.url), { type: 'module' });
        const done = (settle) => (event) => {
            worker.terminate();
            settle(event);
        };
        worker.onmessage = done(({ data }) => resolve(data));
        worker.onerror = done(() => reject(new RegistrationError({})));
        worker.postMessage({ prefix, label });
    });
}

/**
 * Registers `username` at `domain`; `invitation` is an invitation's token, if there is one. `onWork` is called if the server
 * asks for work.
 */
export async function register(domain, username, password, invitation, onWork) {
    const post = (work) => fetch('/api/register', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ domain, username, password, invitation, ...work }),
    }).then(answerOf);
    if (invitation) return post({});
    for (let tried = 1; ; tried += 1) {
        const { challenge } = await answerOf(await fetch(`/api/register?domain=${encodeURIComponent(domain)}`));
        if (!challenge) return post({});
        onWork();
        try {
            return await post({ challenge: challenge.id, proof: await solve(challenge) });
        } catch (error) {
            if (error.code !== 'service-unavailable' || tried === TRIES_MAX) throw error;
        }
    }
}
