// The dialog in which a room is joined or created by its name. Public rooms of this server are found while one types (XEP-0433).

import { extendElement, fill, reasonIn } from './elements.js';

const NS = 'urn:xmpp:channel-search:0:search';
/** A pause in typing after which the server is asked. */
const PAUSE_MILLISECONDS = 300;
/** Words shorter than this are not searched for by the server. */
const WORD_CHARACTERS_MIN = 2;
const JOIN_MILLISECONDS_MAX = 20_000;
/** What a localpart must not hold (RFC 7622 §3.3.1), blanks included. */
const FORBIDDEN = /[\s"&'/:<>@]+/gu;

/** The part of a room's address that its name becomes: `Book club` is at `book-club@…`. */
export function localpart(name) {
    const plain = name.normalize('NFKC').toLowerCase();
    return plain.replace(/\p{C}/gu, '').replace(FORBIDDEN, '-').replace(/^-+|-+$/g, '');
}

/** Asks for public rooms; without words, for all of them. */
async function search({ api }, service, text) {
    const { stx } = window.converse.env;
    const query = text
        ? stx`<field var="q"><value>${text}</value></field>`
        : stx`<field var="all"><value>true</value></field>`;
    const answer = await api.sendIQ(stx`
        <iq type="get" to="${service}" xmlns="jabber:client">
            <search xmlns="${NS}">
                <x xmlns="jabber:x:data" type="submit">
                    <field var="FORM_TYPE" type="hidden"><value>urn:xmpp:channel-search:0:search-params</value></field>
                    ${query}
                </x>
            </search>
        </iq>`);
    return [...answer.querySelectorAll('result > item')].map((item) => ({
        jid: item.getAttribute('address'),
        name: item.querySelector('name')?.textContent ?? '',
        about: item.querySelector('description')?.textContent ?? '',
        people: Number(item.querySelector('nusers')?.textContent ?? 0),
    }));
}

/** The text of an error that a room answers with instead of letting one in. */
function listenForRefusal(api, jid, tell) {
    const connection = api.connection.get();
    const handler = connection.addHandler((presence) => {
        if (presence.getAttribute('from')?.split('/')[0] === jid) tell(presence);
        return true;
    }, null, 'presence', 'error');
    return () => connection.deleteHandler(handler);
}

/** Enters a room; resolves when it can be shown, and fails with the reason for people when it cannot be entered. */
async function enter({ api }, jid, attributes, words) {
    const { ROOMSTATUS } = window.converse;
    const known = await api.rooms.get(jid);
    // One is there already, or was and sees there why not any more.
    if (known) return known;
    let refusal = '';
    const stop = listenForRefusal(api, jid, (presence) => { refusal = reasonIn(presence); });
    const room = await api.rooms.get(jid, { ...attributes, hidden: true }, true);
    try {
        await new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error(words.rooms_no_answer)), JOIN_MILLISECONDS_MAX);
            const judge = () => {
                const status = room.session.get('connection_status');
                // Rooms that ask for a password or another nickname do so themselves.
                const asks = [ROOMSTATUS.ENTERED, ROOMSTATUS.NICKNAME_REQUIRED, ROOMSTATUS.PASSWORD_REQUIRED];
                const closed = [ROOMSTATUS.DISCONNECTED, ROOMSTATUS.BANNED, ROOMSTATUS.DESTROYED];
                if (asks.includes(status)) resolve();
                else if (closed.includes(status) && (refusal || room.session.get('disconnection_message'))) {
                    const { disconnection_message: message, disconnection_reason: reason } = room.session.attributes;
                    reject(new Error([message, reason || refusal].filter(Boolean).join(' ')));
                } else return;
                clearTimeout(timer);
            };
            // Converse tells of the entry by this event alone.
            room.session.on('change:connection_status', judge);
            room.initialized.then(judge);
        });
    } catch (error) {
        await room.close();
        throw error;
    } finally {
        stop();
    }
    return room;
}

export function offerRooms(inner, { conference, words }) {
    const { api, exports } = inner;
    const { html } = window.converse.env;

    /** Name or address as somebody typed it, as an address; `undefined` if it is neither. */
    const addressOf = (text, found) => {
        const same = found.find(({ name, jid }) => [name.toLowerCase(), jid].includes(text.toLowerCase()));
        if (same) return same.jid;
        const [name, domain, ...rest] = text.split('@');
        if (rest.length > 0 || domain === '') return undefined;
        const local = localpart(name);
        return local && `${local}@${domain?.toLowerCase() ?? conference}`;
    };

    extendElement(api, 'converse-rooms-list', (List) => class extends List {
        render() {
            return html`${super.render()}
                <button type="button" class="btn kim-rooms-button"
                    @click=${() => api.modal.show('converse-add-muc-modal', { model: this.model })}>
                    <converse-icon class="fa fa-plus" size="1em"></converse-icon> ${words.rooms_title}
                </button>`;
        }
    });

    extendElement(api, 'converse-add-muc-modal', (Modal) => class extends Modal {
        initialize() {
            super.initialize();
            this.rooms = new Map();
            this.typed = '';
            this.look('');
            this.addEventListener('shown.bs.modal', () => this.querySelector('input[name="room"]')?.focus());
        }

        getModalTitle() {
            return words.rooms_title;
        }

        // The cross in the heading closes it; Converse's button below has no Chinese.
        renderModalFooter() {
            return '';
        }

        async look(text) {
            // Without an answer one can still type a name.
            const found = await search(inner, conference, text).catch(() => []);
            for (const room of found) this.rooms.set(room.jid, room);
            this.searched = true;
            this.requestUpdate();
        }

        type(text) {
            this.typed = text.trim();
            this.complaint = '';
            this.requestUpdate();
            clearTimeout(this.timer);
            const words = this.typed.split(/\s+/);
            if (words.some((word) => [...word].length >= WORD_CHARACTERS_MIN)) {
                this.timer = setTimeout(() => this.look(this.typed), PAUSE_MILLISECONDS);
            }
        }

        get found() {
            const parts = this.typed.toLowerCase().split(/\s+/);
            const fits = ({ name, jid, about }) => {
                const text = `${name}\n${jid}\n${about}`.toLowerCase();
                return parts.every((part) => text.includes(part));
            };
            return [...this.rooms.values()].filter(fits).sort((a, b) => b.people - a.people || a.name.localeCompare(b.name));
        }

        async openChatRoom(event) {
            event.preventDefault();
            const fields = Object.fromEntries(new FormData(event.currentTarget));
            await this.go(fields.room.trim(), fields.nickname);
        }

        async go(text, nickname) {
            const nick = nickname.trim();
            const jid = addressOf(text, this.found);
            if (!jid || !nick) {
                this.complaint = jid ? words.rooms_nick_needed : words.rooms_bad_name;
                this.requestUpdate();
                return;
            }
            this.complaint = '';
            this.busy = true;
            this.requestUpdate();
            try {
                const isName = !text.includes('@') && !this.rooms.has(jid);
                const config = isName && { name: text, auto_configure: true, roomconfig: { roomname: text } };
                const room = await enter(inner, jid, { nick, ...config }, words);
                room.maybeShow(true);
                this.modal.hide();
            } catch (error) {
                this.complaint = error.message || words.rooms_no_answer;
            } finally {
                this.busy = false;
                this.requestUpdate();
            }
        }

        choose({ jid }) {
            return this.go(jid, this.querySelector('input[name="nickname"]').value);
        }

        renderFound() {
            const { found } = this;
            if (found.length === 0) {
                return this.searched && this.typed ? html`<p class="kim-quiet">${words.rooms_none_found}</p>` : '';
            }
            return html`
                <h6 id="kim-found">${words.rooms_found}</h6>
                <ul class="kim-found" aria-labelledby="kim-found">
                    ${found.map((room) => html`<li>
                        <button type="button" ?disabled=${this.busy} @click=${() => this.choose(room)}>
                            <span><strong>${room.name}</strong> <small>${room.about}</small></span>
                            ${room.people ? html`<small>${fill(words.rooms_people, room.people)}</small>` : ''}
                        </button>
                    </li>`)}
                </ul>`;
        }

        renderModal() {
            return html`
                <form class="converse-form kim-rooms" @submit=${(event) => this.openChatRoom(event)}>
                    ${this.complaint ? html`<p class="kim-complaint" role="alert">${this.complaint}</p>` : ''}
                    <label for="kim-room">${words.rooms_name}</label>
                    <input id="kim-room" name="room" class="form-control" autocomplete="off" maxlength="256"
                        aria-describedby="kim-room-hint" @input=${(event) => this.type(event.target.value)}>
                    <small id="kim-room-hint" class="kim-quiet">${words.rooms_hint}</small>
                    <div aria-live="polite">${this.renderFound()}</div>
                    <label for="kim-nick">${words.rooms_nick}</label>
                    <input id="kim-nick" name="nickname" class="form-control" maxlength="64" autocomplete="nickname"
                        value=${exports.getDefaultMUCNickname() ?? ''}>
                    <button type="submit" class="btn btn-primary" ?disabled=${this.busy}>
                        ${this.busy ? words.rooms_joining : words.rooms_go}
                    </button>
                </form>`;
        }
    });
}
