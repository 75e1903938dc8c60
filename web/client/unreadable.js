// Messages that this browser cannot decrypt are counted in one calm line instead of being told one by one: a browser that is
// new finds all that was encrypted before it came.

import { extendElement, fill } from './elements.js';

/** Of which kind of unreadable messages one is; `undefined` for those that can be read. */
function kind(message) {
    if (message.get('error_type') !== 'Decryption') return undefined;
    return message.get('error_condition') === 'not-encrypted-for-this-device' ? 'other_devices' : 'unreadable';
}

export function countUnreadable({ api }, { words }) {
    const { html } = window.converse.env;

    // Converse deletes them ten seconds after they were seen; then nothing would say that something is missing.
    const keep = (stanza, attributes) => {
        const isUnreadable = attributes.error_type === 'Decryption';
        return isUnreadable ? { ...attributes, is_ephemeral: false, defer_ephemeral_timer: false } : attributes;
    };
    api.listen.on('parseMessage', keep);
    api.listen.on('parseMUCMessage', keep);

    extendElement(api, 'converse-message-history', (History) => class extends History {
        renderMessage(message) {
            const which = kind(message);
            if (!which) return super.renderMessage(message);
            const { messages } = this;
            const at = messages.indexOf(message);
            // Only the first of those that follow one another says how many they are.
            if (at > 0 && kind(messages[at - 1]) === which) return '';
            let end = at + 1;
            while (end < messages.length && kind(messages[end]) === which) end += 1;
            const count = end - at;
            const sentence = count === 1 ? words[`${which}_one`] : fill(words[which], count);
            return html`<p class="kim-unreadable" data-count=${count}>${sentence}</p>`;
        }
    });
}
