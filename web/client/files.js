// Files: where they are fetched from, and what is said when one cannot be sent.

import { fill, reasonIn } from './elements.js';

/** AES-GCM adds its tag (XEP-0454). */
const TAG_BYTES = 16;
/** How long a refusal stays on the screen, from when it was seen. */
const REFUSAL_MILLISECONDS = 60_000;

/**
 * Makes sure that files of this server are fetched by the scheme that they have. In an `aesgcm:` link it is lost, and Converse
 * guesses: `http:` at localhost, `https:` elsewhere.
 */
export function fetchFilesByTheirScheme(uploads) {
    if (!uploads) return;
    const files = new URL(uploads);
    const fetchPlainly = window.fetch.bind(window);
    window.fetch = (resource, options) => {
        if (typeof resource === 'string' && URL.canParse(resource)) {
            const url = new URL(resource);
            const isWrong = url.host === files.host && url.protocol !== files.protocol;
            if (isWrong && ['http:', 'https:'].includes(url.protocol)) {
                url.protocol = files.protocol;
                return fetchPlainly(url.href, options);
            }
        }
        return fetchPlainly(resource, options);
    };
}

function readable(bytes) {
    const { filesize } = window.converse.env;
    return filesize(bytes, { standard: 'jedec' });
}

function complain(chat, message) {
    chat.createMessage({ message, type: 'error', is_ephemeral: REFUSAL_MILLISECONDS, defer_ephemeral_timer: true });
}

/** The largest file that the server takes; `undefined` if it does not say. */
async function bytesMax({ api, state }) {
    const { Strophe } = window.converse.env;
    const [service] = await api.disco.features.get(Strophe.NS.HTTPUPLOAD, state.session.get('domain'));
    const forms = service?.dataforms.where({ FORM_TYPE: { value: Strophe.NS.HTTPUPLOAD, type: 'hidden' } }) ?? [];
    const max = Number.parseInt(forms.at(-1)?.get('max-file-size')?.value, 10);
    return Number.isNaN(max) ? undefined : max;
}

/** Converse shows a file that was refused as one that is still being sent. */
function tellRefusals(chat, words) {
    chat.messages.on('add', (message) => {
        if (!message.file) return;
        const request = message.sendSlotRequestStanza.bind(message);
        message.sendSlotRequestStanza = async () => {
            try {
                return await request();
            } catch (error) {
                message.refusal = error;
                throw error;
            }
        };
    });
    chat.messages.on('change:type', (message) => {
        if (!message.file || message.get('type') !== 'error') return;
        const { name } = message.file;
        const reason = reasonIn(message.refusal);
        // What the server said to the upload itself is in the message already.
        const told = message.get('upload') === 'failure' ? message.get('message') : fill(words.file_failed, name);
        // Converse is saving the message at this moment; wait until that is done.
        setTimeout(() => message.destroy());
        complain(chat, reason ? fill(words.file_refused, name, reason) : told);
    });
}

/** Tells of files that are too large before they are encrypted, and of those that the server refuses. */
export function explainRefusals(inner, { words }) {
    const furnish = (chat) => {
        if (!chat.sendFiles) return;
        tellRefusals(chat, words);
        const send = chat.sendFiles.bind(chat);
        chat.sendFiles = async (files) => {
            const max = await bytesMax(inner).catch(() => undefined) ?? Infinity;
            const added = chat.get('omemo_active') ? TAG_BYTES : 0;
            const [fitting, tooLarge] = [[], []];
            for (const file of files) (file.size + added <= max ? fitting : tooLarge).push(file);
            for (const file of tooLarge) complain(chat, fill(words.file_too_large, file.name, readable(max)));
            if (fitting.length > 0) await send(fitting);
        };
    };
    inner.api.listen.on('chatBoxInitialized', furnish);
    inner.api.listen.on('chatRoomInitialized', furnish);
}
