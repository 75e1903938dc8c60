// The first minutes with an account: its rooms are there, and a short list says what to do next.

import { extendElement } from './elements.js';
import { invite } from './invite.js';

/** That this browser's reader has seen enough of the list. */
const HIDDEN_KEY = 'kim-next-hidden';
/** Where Converse shows the lists or a chat, but not both. */
const PHONE = '(max-width: 767px)';

/**
 * Enters the rooms that a newcomer is shown: the one that the invitation leads to, and those of the server. Converse keeps them
 * as bookmarks, so every other device of the account has them too.
 */
export async function enterFirstRooms({ api }, { lobbies, conference, room }, nick) {
    const addresses = lobbies.map((name) => `${name}@${conference}`).filter((address) => address !== room);
    const isPhone = window.matchMedia(PHONE).matches;
    if (room) await api.rooms.open(room, { nick }, true);
    for (const [at, address] of addresses.entries()) {
        // On a phone the lists come first; a room would hide them.
        const hidden = Boolean(room) || isPhone || at > 0;
        await api.rooms.open(address, { nick, hidden });
    }
}

export function suggestNext(inner, { words }) {
    const { api, state } = inner;
    const { html } = window.converse.env;

    // A room that is entered by itself, as a bookmark, does not cover the lists of a phone.
    api.listen.on('chatRoomInitialized', (room) => {
        const show = room.maybeShow.bind(room);
        room.maybeShow = (force) => (force || !window.matchMedia(PHONE).matches ? show(force) : room);
    });

    const item = (name, icon, title, more, action) => html`
        <li>
            <a class=${`kim-next-${name}`} href=${action.href ?? '#'} target=${action.href ? '_blank' : '_self'}
                rel="noopener" role=${action.href ? 'link' : 'button'}
                @click=${(event) => {
                    if (!action.run) return;
                    event.preventDefault();
                    action.run();
                }}>
                <converse-icon class=${`fa ${icon}`} size="1.1em"></converse-icon>
                <span><strong>${title}</strong><br><small>${more}</small></span>
            </a>
        </li>`;

    const card = (hide) => html`
        <section class="kim-next" aria-labelledby="kim-next-title">
            <header>
                <h3 id="kim-next-title">${words.next_title}</h3>
                <button type="button" class="kim-next-hide" title=${words.next_dismiss} aria-label=${words.next_dismiss}
                    @click=${hide}>×</button>
            </header>
            <ul>
                ${item('invite', 'fa-user-plus', words.next_invite, words.next_invite_more, { run: () => invite(api) })}
                ${item('app', 'fa-phone', words.next_app, words.next_app_more, { href: '/apps' })}
                ${item('picture', 'fa-id-card', words.next_picture, words.next_picture_more, {
                    run: () => api.modal.show('converse-profile-modal', { model: state.profile, tab: 'profile' }),
                })}
            </ul>
        </section>`;

    const button = () => html`
        <button type="button" class="btn kim-invite-button" @click=${() => invite(api)}>
            <converse-icon class="fa fa-user-plus" size="1em"></converse-icon> ${words.next_invite}
        </button>`;

    // Below the contacts; once the list is hidden, inviting stays at hand.
    extendElement(api, 'converse-roster', (Roster) => class extends Roster {
        render() {
            const hide = () => {
                localStorage.setItem(HIDDEN_KEY, 'yes');
                this.requestUpdate();
            };
            return html`${super.render()}${localStorage.getItem(HIDDEN_KEY) ? button() : card(hide)}`;
        }
    });
}
