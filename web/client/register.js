// Makes an account with one request to the server's API, which has the rules and limits of every other door.

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

/** Registers `username` at `domain`; `invitation` is an invitation's token, if there is one. */
export async function register(domain, username, password, invitation) {
    const response = await fetch('/api/register', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ domain, username, password, invitation }),
    });
    if (response.ok) return;
    const { error } = await response.json().catch(() => ({}));
    throw new RegistrationError(error ?? {});
}
