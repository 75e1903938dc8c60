// Notifications while the page is closed: the browser subscribes at its maker's push service (Web Push), tells this server where
// (the command register-push-webpush of push.DOMAIN), and the server is asked to use it for this device (XEP-0357). All of it
// is undone when somebody signs out or turns notifications off.

import { execute, extendElement, reasonIn, submitForm } from './elements.js';

const PUSH = 'urn:xmpp:push:0';
const SHELF = 'kim';
const LEFT = '/worker/left';
/** The node under which this browser's account has subscribed; there while notifications are wanted. */
const nodeKey = (account) => `kim-push:${account}`;

/** Whether this browser can be woken at all. Private windows and pages without TLS cannot. */
export function canNotify() {
    return 'serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window;
}

/** Leaves for the worker what it has to know: it cannot ask the page when there is none. */
async function leave(page) {
    const style = page.page_style;
    const shelf = await caches.open(SHELF);
    const left = { words: page.words, conference: page.conference, language: document.documentElement.lang, style };
    await shelf.put(LEFT, new Response(JSON.stringify(left), { headers: { 'Content-Type': 'application/json' } }));
    // Its address says what is in it.
    if (style && !await shelf.match(style)) await shelf.add(style);
}

/** Registers the worker, which also answers when there is no network. */
async function work(page) {
    await leave(page);
    return navigator.serviceWorker.register('/worker.js', { updateViaCache: 'none' });
}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (sign) => sign.charCodeAt(0));

/** The subscription of this browser, a new one if there is none or it was made for another key. */
async function subscribed(worker, publicKey) {
    const key = bytes(publicKey);
    const old = await worker.pushManager.getSubscription();
    const known = old?.options?.applicationServerKey;
    const own = known && new Uint8Array(known);
    if (own && key.every((byte, at) => byte === own[at])) return old;
    await old?.unsubscribe();
    return worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

/** Has this device woken from now on, or again after it has signed in. */
async function turnOn(inner, page) {
    const { api, state } = inner;
    const { $iq } = window.converse.env;
    const worker = await work(page);
    const key = await execute(api, page.push, 'register-push-webpush');
    const { endpoint, keys } = (await subscribed(worker, key('public_key'))).toJSON();
    const told = await execute(api, page.push, 'register-push-webpush', { endpoint, ...keys });
    const node = told('node');
    const iq = $iq({ type: 'set' }).c('enable', { xmlns: PUSH, jid: page.push, node });
    await api.sendIQ(submitForm(iq, { FORM_TYPE: 'urn:xmpp:push:summary', 'last-message-sender': 'true' }));
    localStorage.setItem(nodeKey(state.session.get('bare_jid')), node);
}

/** Nothing is told to this browser any more. */
async function turnOff(inner, page) {
    const { api, state } = inner;
    const { $iq } = window.converse.env;
    const place = nodeKey(state.session.get('bare_jid'));
    const node = localStorage.getItem(place);
    localStorage.removeItem(place);
    const worker = await navigator.serviceWorker.getRegistration('/');
    const subscription = await worker?.pushManager.getSubscription();
    const shown = await worker?.getNotifications() ?? [];
    shown.forEach((notification) => notification.close());
    if (node) {
        await api.sendIQ($iq({ type: 'set' }).c('disable', { xmlns: PUSH, jid: page.push, node }));
        await execute(api, page.push, 'unregister-push', { node });
    }
    await subscription?.unsubscribe();
}

export function offerNotifications(inner, page) {
    if (!page.push || !canNotify()) return;
    const { api, state } = inner;
    const { html } = window.converse.env;
    const { words } = page;
    let problem = '';
    let isBusy = false;

    const isOn = () => Notification.permission === 'granted'
        && localStorage.getItem(nodeKey(state.session.get('bare_jid'))) !== null;
    const redraw = () => document.querySelectorAll('.kim-notify').forEach((element) => element.refresh());

    // Under a new session, or with a new key of the server: the browser is where it was.
    api.listen.on('connected', async () => {
        try {
            if (isOn()) await turnOn(inner, page);
            else await work(page);
        } catch (error) {
            console.warn(error);
        }
        redraw();
    });
    // Converse waits for this before it leaves.
    api.listen.on('beforeLogout', () => turnOff(inner, page).catch((error) => console.warn(error)));
    navigator.serviceWorker.addEventListener('message', ({ data }) => {
        if (typeof data?.open !== 'string') return;
        // The same chat may be asked for twice.
        history.replaceState(null, '', page.home);
        location.hash = data.open;
    });

    async function toggle() {
        problem = '';
        isBusy = true;
        redraw();
        try {
            if (isOn()) await turnOff(inner, page);
            else if (await Notification.requestPermission() === 'granted') await turnOn(inner, page);
            else problem = words.notify_denied;
        } catch (error) {
            console.warn(error);
            problem = `${words.notify_failed} ${reasonIn(error)}`.trim();
        }
        isBusy = false;
        redraw();
    }

    // Where one invites: below the contacts, and nothing that pops up by itself.
    extendElement(api, 'converse-roster', (Roster) => class extends Roster {
        connectedCallback() {
            super.connectedCallback();
            this.classList.add('kim-notify');
        }

        refresh() {
            this.requestUpdate();
        }

        render() {
            return html`${super.render()}
                <button type="button" class="btn kim-notify-button" aria-pressed=${String(isOn())} ?disabled=${isBusy}
                    @click=${toggle}>
                    <converse-icon class=${`fa ${isOn() ? 'fa-bell' : 'fa-bell-slash'}`} size="1em"></converse-icon>
                    ${isOn() ? words.notify_on : words.notify_off}
                </button>
                ${problem ? html`<p class="kim-complaint" role="alert">${problem}</p>` : ''}`;
        }
    });
}
