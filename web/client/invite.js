// Inviting somebody: one click makes a link (XEP-0401 §5.1), shown with a button that copies it and as a QR code.

import { dialogClass, execute, fill, reasonIn } from './elements.js';
import { languageTag } from './wording.js';

/** The level of error correction, as Converse numbers them: fewer and larger dots than at its default. */
const MEDIUM = 0;

/** Asks the server for a new invitation: its link, and when it is over. */
async function newInvitation({ api }, domain) {
    const value = await execute(api, domain, 'urn:xmpp:invite#invite');
    return { link: value('landing-url') ?? value('uri'), expire: value('expire') };
}

export function offerInvitations(inner, { domain, locale, words }) {
    const { api } = inner;
    const { html } = window.converse.env;
    const readableTime = (stamp) => {
        const style = { dateStyle: 'long', timeStyle: 'short' };
        return new Intl.DateTimeFormat(languageTag(locale), style).format(new Date(stamp));
    };

    api.elements.define('kim-invite-modal', class extends dialogClass(api) {
        initialize() {
            super.initialize();
            this.renew();
        }

        async renew() {
            try {
                this.invitation = await newInvitation(inner, domain);
            } catch (error) {
                this.failure = fill(words.invite_failed, reasonIn(error));
            }
            this.requestUpdate();
        }

        getModalTitle() {
            return words.invite_title;
        }

        // The cross in the heading closes it.
        renderModalFooter() {
            return '';
        }

        async copy() {
            this.querySelector('input').select();
            // Without the clipboard (an old browser, a page without TLS) the link is selected, ready to be copied.
            if (!navigator.clipboard) return;
            await navigator.clipboard.writeText(this.invitation.link);
            this.isCopied = true;
            this.requestUpdate();
        }

        renderModal() {
            if (this.failure) return html`<p class="kim-complaint" role="alert">${this.failure}</p>`;
            if (!this.invitation) return html`<converse-spinner></converse-spinner>`;
            const { link, expire } = this.invitation;
            return html`
                <div class="kim-invite">
                    <p>${fill(words.invite_more, expire ? readableTime(expire) : '…')}</p>
                    <div class="kim-qr" role="img" aria-label="QR">
                        <converse-qr-code .text=${link} .correctLevel=${MEDIUM} width="220px" height="220px"></converse-qr-code>
                    </div>
                    <label for="kim-invite-link">${words.invite_link}</label>
                    <input id="kim-invite-link" class="form-control" readonly .value=${link}
                        @focus=${(event) => event.target.select()}>
                    <button type="button" class="btn btn-primary kim-copy" aria-live="polite" @click=${() => this.copy()}>
                        ${this.isCopied ? words.invite_copied : words.invite_copy}
                    </button>
                </div>`;
        }
    });
}

/** Opens the dialog, with a new invitation. */
export function invite(api) {
    api.modal.show('kim-invite-modal', {});
}
