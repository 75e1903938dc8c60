// Says where messages are not encrypted, and sends nothing in the clear that its writer may take for encrypted: the first
// message of such a chat is held back until its writer agrees. A chat that was encrypted and is not any more asks anew.

import { extendElement, fill } from './elements.js';

const isRoom = (chat) => chat.get('type') === 'chatroom';

/** Why a chat is not encrypted, in words; `undefined` if it is, or if that is not known yet. */
function reason({ state }, chat, words) {
    if (chat.get('omemo_active')) return undefined;
    if (isRoom(chat)) return words.clear_room;
    if (!state.config.get('trusted')) return words.clear_untrusted;
    if (chat.get('omemo_supported')) return words.clear_chosen;
    if (chat.get('omemo_supported') === undefined) return undefined;
    return chat.get('was_encrypted') ? words.clear_lost : fill(words.clear_no_keys, chat.getDisplayName());
}

/** Whether what is written in a chat may leave as it is. */
function mayGoClear({ api, state }, chat) {
    // Guests have no keys and expect none.
    if (api.settings.get('clear_cache_on_logout')) return true;
    // A server or a service has no keys.
    if (!chat.get('jid').includes('@')) return true;
    if (state.omemo_active_states?.get(chat.get('jid')) === false) return true;
    if (chat.get('clear_accepted')) return true;
    return isRoom(chat) && !chat.get('was_encrypted');
}

/** Stands between a chat's box and the wire. */
function guard(inner, chat, words) {
    chat.on('change:omemo_active', () => {
        if (!chat.get('omemo_active')) return;
        chat.save({ was_encrypted: true, clear_accepted: false });
        hold(chat, null);
    });
    const isHeld = (what) => {
        if (chat.get('omemo_active')) return false;
        // The link to an encrypted file holds its key: whatever was agreed to, that is not sent in the clear.
        if (what.body?.startsWith('aesgcm:')) {
            chat.createMessage({ message: words.clear_file, type: 'error', is_ephemeral: true, defer_ephemeral_timer: true });
            return true;
        }
        if (mayGoClear(inner, chat)) return false;
        hold(chat, what);
        return true;
    };
    const send = chat.sendMessage.bind(chat);
    chat.sendMessage = async (attributes = {}) => (isHeld(attributes) ? undefined : send(attributes));
    if (!chat.sendFiles) return;
    const sendFiles = chat.sendFiles.bind(chat);
    chat.sendFiles = async (files) => {
        const kept = [...files];
        // As before a message: the other side may have keys by now.
        await chat.encrypts?.();
        return isHeld({ files: kept }) ? undefined : sendFiles(kept);
    };
}

function hold(chat, what) {
    chat.held = what;
    chat.trigger('kim:held');
}

export function markClearText(inner, { words }) {
    const { api } = inner;
    const { html } = window.converse.env;

    api.listen.on('chatBoxInitialized', (chat) => {
        if (chat.get('type') === 'chatbox') guard(inner, chat, words);
    });
    api.listen.on('chatRoomInitialized', (chat) => guard(inner, chat));

    const question = (panel) => {
        const { model } = panel;
        const release = () => {
            const { held } = model;
            model.save({ clear_accepted: true });
            hold(model, null);
            if (held.files) model.sendFiles(held.files);
            // The text is in its box still, and may have been changed there.
            else panel.querySelector('converse-message-form, converse-muc-message-form').onFormSubmitted();
        };
        return html`
            <div class="kim-held" role="alert">
                <p>${words.clear_question}</p>
                <button type="button" class="btn btn-sm btn-primary kim-send-clear" @click=${release}>${words.clear_send}</button>
                <button type="button" class="btn btn-sm btn-secondary"
                    @click=${() => hold(model, null)}>${words.clear_cancel}</button>
            </div>`;
    };

    for (const name of ['converse-chat-bottom-panel', 'converse-muc-bottom-panel']) {
        extendElement(api, name, (Panel) => class extends Panel {
            async initialize() {
                await super.initialize();
                this.listenTo(this.model, 'change:omemo_active change:omemo_supported kim:held', () => this.requestUpdate());
            }

            renderMark() {
                const { model } = this;
                const why = model && reason(inner, model, words);
                if (!why && !model?.held) return '';
                return html`
                    ${model.held ? question(this) : ''}
                    <p class="kim-clear"><converse-icon class="fa fa-unlock" size="0.9em"></converse-icon>
                        <strong>${words.clear_chat}</strong> ${why ?? words.clear_lost}</p>`;
            }

            render() {
                return html`${this.renderMark()}${super.render()}`;
            }
        });
    }
}
