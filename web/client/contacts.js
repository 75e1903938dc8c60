// Requests of people who want to be contacts, above everything else: one click accepts.

import { extendElement, fill, reasonIn } from './elements.js';

/** Lets somebody see when we are there, and asks for the same. */
async function accept({ state }, contact) {
    await state.roster.sendContactAddIQ({ jid: contact.get('jid'), name: contact.get('nickname') ?? '', groups: [] });
    contact.authorize().subscribeToPresence();
}

function decline(contact) {
    contact.unauthorize();
    contact.destroy();
}

export function showRequests(inner, { words }) {
    const { api, state } = inner;
    const { html } = window.converse.env;
    let complaint = '';

    const answer = async (event, work) => {
        event?.preventDefault();
        try {
            complaint = '';
            await work();
        } catch (error) {
            complaint = fill(words.request_failed, reasonIn(error));
        }
        state.roster.trigger('kim:answered');
    };

    const row = (contact) => html`
        <div class="kim-request">
            <p>${fill(words.request, contact.getDisplayName())}</p>
            <button type="button" class="btn btn-sm btn-primary kim-accept"
                @click=${(event) => answer(event, () => accept(inner, contact))}>${words.request_accept}</button>
            <button type="button" class="btn btn-sm btn-secondary"
                @click=${(event) => answer(event, () => decline(contact))}>${words.request_decline}</button>
        </div>`;

    const Element = Object.getPrototypeOf(api.elements.registry['converse-user-profile']);
    api.elements.define('kim-requests', class extends Element {
        initialize() {
            api.waitUntil('rosterContactsFetched').then(() => {
                this.listenTo(state.roster, 'add remove destroy change:requesting kim:answered', () => this.requestUpdate());
                this.requestUpdate();
            });
        }

        render() {
            const waiting = state.roster?.filter((contact) => contact.get('requesting')) ?? [];
            return html`${waiting.map(row)}${complaint ? html`<p class="kim-complaint" role="alert">${complaint}</p>` : ''}`;
        }
    });

    extendElement(api, 'converse-user-profile', (Profile) => class extends Profile {
        render() {
            return html`${super.render()}<kim-requests aria-live="polite"></kim-requests>`;
        }
    });

    // A new contact may be drawn before it is known whether they are there.
    extendElement(api, 'converse-roster-contact', (View) => class extends View {
        initialize() {
            super.initialize();
            this.model?.initialized?.then(() => this.requestUpdate());
        }
    });

    // The dialog that these lead to asks for a name and groups, and then fails.
    for (const [name, key] of [['converse-contact-approval-alert', 'contact'], ['converse-roster-contact', 'model']]) {
        extendElement(api, name, (View) => class extends View {
            acceptRequest(event) {
                return answer(event, () => accept(inner, this[key]));
            }
        });
    }
}
