// Brings the chat client into a page: signs in, registers, or enters a room as a guest. What is to be done stands in the
// page, in the attribute data-page of <body>; nothing here is decided by the address bar.

import { sayWhenAway } from './away.js';
import { encryptWhenPossible } from './encrypt.js';
import { fetchFilesByTheirScheme } from './files.js';
import { furnish } from './furnish.js';
import { prepared } from './password.js';
import { opensWebSocket } from './reach.js';
import { RegistrationError, register } from './register.js';
import { sealStores } from './sealed.js';
import { Vault } from './vault.js';
import { enterFirstRooms } from './welcome.js';
import { reword } from './wording.js';

const page = JSON.parse(document.body.dataset.page);
const words = page.words;

const websocket = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/xmpp-websocket`;

/** Whose files are shown in a chat and not only linked to: those that this server keeps. */
const fileHosts = [location.hostname, ...(page.uploads ? [new URL(page.uploads).hostname] : [])];

/** What the client is told always. */
const settings = {
    bosh_service_url: `${location.origin}/http-bind`,
    // The page says where the server is; nothing is looked up elsewhere.
    discover_connection_methods: false,
    assets_path: page.client,
    i18n: page.locale,
    locales: ['en', 'zh_CN'],
    view_mode: 'fullscreen',
    theme: 'classic',
    dark_theme: 'dracula',
    locked_domain: page.domain,
    default_domain: page.domain,
    muc_domain: page.conference,
    // These would ask servers of others.
    autocomplete_providers_url: '',
    providers_link: '',
    muc_search_service: '',
    emoji_image_path: '',
    embed_3rd_party_media_players: false,
    allowed_image_domains: fileHosts,
    allowed_audio_domains: fileHosts,
    allowed_video_domains: fileHosts,
    visible_toolbar_buttons: { call: false, emoji: true, location: false, spoiler: false, toggle_occupants: true },
    use_system_emojis: true,
    allow_registration: false,
    show_client_info: false,
    play_sounds: false,
    show_desktop_notifications: true,
    omemo_default: true,
    allow_non_roster_messaging: true,
    muc_show_logs_before_join: false,
    // Nobody is asked for a nickname who has a username.
    muc_nickname_from_jid: true,
    notify_all_room_messages: false,
    loglevel: 'warn',
};

fetchFilesByTheirScheme(page.uploads);

/** The keys to what is kept on this device. */
const vault = new Vault();
/** Who is signed in, or about to be. */
let me = null;

let client = null;
let wake = null;

// Behind our own form Converse keeps one of its own ready, with a footer that fetches its sponsors' logos.
customElements.define('converse-footer', class extends HTMLElement {});

/** Loads Converse once; gives its API. */
function load() {
    wake ??= new Promise((resolve, reject) => {
        const style = (href) => Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
        const styles = [style(`${page.client}converse.min.css`), ...page.styles.map(style)];
        const script = document.createElement('script');
        script.type = 'module';
        script.src = `${page.client}converse.min.js`;
        let waiting = styles.length + 1;
        const loaded = () => { if (--waiting === 0) resolve(); };
        for (const part of [...styles, script]) {
            part.addEventListener('load', loaded);
            part.addEventListener('error', () => reject(new Error(words.client_unreachable)));
            document.head.append(part);
        }
    });
    return wake;
}

/** Starts Converse with these settings on top; resolves with its inner API. */
async function start(more) {
    // Converse takes some time to come: enough to find out how to reach the server.
    const [, opens, seal] = await Promise.all([load(), opensWebSocket(websocket), sealStores(page.client), vault.openTab()]);
    if (client) return client;
    let inner;
    window.converse.plugins.add('kim', {
        initialize() {
            inner = this._converse;
            const { api } = inner;
            seal(inner, vault);
            // Before encryptWhenPossible, whose wrapper around sending must run first: it asks for keys.
            furnish(inner, page);
            encryptWhenPossible(inner);
            sayWhenAway(inner, words);
            // Converse has just noted whose session to go on with: at once, since the page may be left at any moment.
            api.listen.on('afterResourceBinding', keepAccount);
            api.listen.on('afterResourceBinding', () => keepVault(inner));
            for (const event of ['connected', 'reconnected']) {
                api.listen.on(event, async () => {
                    keepAccount();
                    await keepKeys(inner);
                    show(true);
                });
            }
            // While it tries again the page stays what it is: the client, or the form of somebody who never got in.
            api.listen.on('will-reconnect', keepAccount);
            api.listen.on('connected', () => tellOfWaiting(inner));
            // Whoever came for one room goes with it.
            api.listen.on('leaveRoom', async () => {
                if (page.kind !== 'room') return;
                forgetGuest();
                await vault.close();
                location.replace('/rooms');
            });
            api.listen.on('logout', async () => {
                forgetGuest();
                await vault.close(me);
                location.replace(page.home);
            });
        },
    });
    reword(page);
    await window.converse.initialize({ ...settings, ...(opens && { websocket_url: websocket }), ...more, whitelisted_plugins: ['kim'] });
    client = inner;
    return client;
}

/** A room that has no place now says so with an error of type "wait" (XEP-0045 §7.2.9), which Converse takes for nothing. */
function tellOfWaiting({ api, state }) {
    api.connection.get().addHandler((stanza) => {
        const room = state.chatboxes.get(stanza.getAttribute('from').split('/')[0]);
        const isFull = stanza.querySelector('error[type=wait] > service-unavailable');
        if (stanza.querySelector('error[type=wait]')) {
            room?.setDisconnectionState?.(isFull ? words.room_full : words.unavailable_more);
        }
        return true;
    }, null, 'presence', 'error');
}

/** Shows the client or the page around it. */
function show(chatting) {
    document.documentElement.classList.toggle('chatting', chatting);
    document.documentElement.classList.remove('starting');
}

/** How long somebody looks at a form that does nothing. */
const SIGN_IN_MILLISECONDS_MAX = 15_000;

/** Resolves when signed in; fails with words for people when the server refuses or is not there. */
function signedIn(inner) {
    const { api } = inner;
    const { Status } = window.converse.env.Strophe;
    let refused = false;
    return new Promise((resolve, reject) => {
        api.listen.once('connected', resolve);
        // Converse tries again and again where nobody lets it in; people are told, and let in should it come true.
        setTimeout(() => {
            if (!api.connection.connected()) reject(new Error(words.no_connection));
        }, SIGN_IN_MILLISECONDS_MAX);
        api.listen.on('connfeedback', (feedback) => {
            refused ||= feedback.get('connection_status') === Status.AUTHFAIL;
        });
        api.listen.once('disconnected', () => {
            reject(new Error(refused ? words.wrong_password : words.no_connection));
        });
    });
}

// --- forms ----------------------------------------------------------------------------------------------------

function busy(form, yes) {
    for (const control of form.elements) control.disabled = yes;
    form.setAttribute('aria-busy', String(yes));
}

function complain(form, text) {
    const place = form.querySelector('[role=alert]');
    place.textContent = text;
    place.hidden = !text;
}

/** Says what is being done. */
function report(form, text) {
    const place = form.querySelector('[role=status]');
    place.textContent = text;
    place.hidden = !text;
}

/** Runs a form: `work` gets its fields; what it throws is told. */
function onSubmit(id, work) {
    const form = document.getElementById(id);
    form?.addEventListener('submit', async (event) => {
        event.preventDefault();
        const fields = Object.fromEntries(new FormData(form));
        complain(form, '');
        busy(form, true);
        try {
            await work(fields);
            form.reset();
        } catch (error) {
            show(false);
            complain(form, error.message || words.no_connection);
        } finally {
            busy(form, false);
        }
    });
    return form;
}

// --- with an account ------------------------------------------------------------------------------------------

/** `alice` or `alice@domain` as an address here. */
function address(name) {
    const [local, domain, ...rest] = name.trim().toLowerCase().split('@');
    if (!local) throw new Error(words.username_empty);
    const isOther = rest.length > 0 || (domain !== undefined && domain !== page.domain);
    if (isOther) throw new Error(words.other_server.replace('{}', page.domain));
    return `${local}@${page.domain}`;
}

async function signIn({ name, password, trusted }) {
    const jid = address(name);
    const [inner] = await Promise.all([start({}), vault.unlock(jid, password)]);
    me = jid;
    inner.state.config.save({ trusted: trusted !== undefined });
    const done = signedIn(inner);
    done.catch(() => {});
    await inner.api.user.login(jid, prepared(password));
    await done;
}

/** What the server says in a word, in the reader's language. */
function said(code) {
    return words[code?.replaceAll('-', '_')];
}

async function makeAccount({ name, password, again, trusted }) {
    const jid = address(name);
    if (again !== undefined && again !== password) throw new Error(words.passwords_differ);
    const form = document.getElementById('register');
    try {
        await register(page.domain, jid.split('@')[0], password, page.invite, () => {
            report(form, words.register_checking);
        });
    } catch (error) {
        if (!(error instanceof RegistrationError)) throw error;
        throw new Error(said(error.reason) ?? said(`register-${error.code}`) ?? words.register_failed);
    } finally {
        report(form, '');
    }
    // From here on this is an account's page: a reload must not ask for the invitation again.
    history.replaceState(null, '', page.home);
    await signIn({ name, password, trusted });
    await enterFirstRooms(client, page, jid.split('@')[0]);
}

/** The server has let somebody in: what is kept here can be opened again, after a reload and at the next sign-in. */
async function keepVault({ state, storage }) {
    if (!me || !state.config.get('trusted')) return;
    try {
        if (await vault.keep(me)) await storage.persistent.removeUnreadable();
    } catch (error) {
        console.warn(error);
    }
}

/**
 * Writes down what the next page goes on with. Converse does so too, but only when it was quiet for a moment: a page that is
 * left before has forgotten it.
 */
async function keepKeys({ state }) {
    const info = state.login_info;
    if (!info?.get('scram_keys')) return;
    try {
        await info.storage.store.setItem(info.storage.getItemName(info.id), info.toJSON());
    } catch (error) {
        // Without a place to keep them there is no going on, and no reason not to chat.
        console.warn(error);
    }
}

/** Goes on with the session that this browser had. */
async function goOn(bare) {
    document.documentElement.classList.add('starting');
    // What this browser keeps does not open: somebody has signed out.
    if (!await vault.reopen(bare)) return show(false);
    me = bare;
    const inner = await start({});
    const connection = inner.api.connection.get();
    const { Status } = window.converse.env.Strophe;
    const status = inner.state.connfeedback.get('connection_status');
    // Without a status nothing was begun: the keys of the account were not kept.
    const hopeless = status === undefined || [Status.AUTHFAIL, Status.CONNFAIL].includes(status);
    if (!connection || hopeless) return show(false);
    signedIn(inner).catch(() => show(false));
    if (connection.connected) show(true);
}

// --- guests ---------------------------------------------------------------------------------------------------

// Where Converse remembers whose session this browser goes on with, for all tabs.
const sessionKey = 'conversejs-session-jid';

/** What stood there before a guest came; `undefined` on pages where nobody is a guest. */
let account;

function keepAccount() {
    if (account === undefined) return;
    if (isMine(account)) localStorage.setItem(sessionKey, account);
    else localStorage.removeItem(sessionKey);
}

const guestKey = `kim-guest:${page.room ?? ''}`;

function forgetGuest() {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith('kim-guest:')) sessionStorage.removeItem(key);
}

async function visit({ nick }) {
    const name = nick.trim();
    if (!name) throw new Error(words.nick_needed);
    sessionStorage.setItem(guestKey, name);
    // An account that this browser is signed in to has nothing to do with this visit, and is not forgotten over it.
    account = localStorage.getItem(sessionKey);
    const isFirst = !client;
    const person = { nickname: name, auto_join_rooms: [{ jid: page.room, nick: name }] };
    const inner = await start({
        authentication: 'anonymous',
        auto_login: true,
        jid: page.guests,
        locked_domain: undefined,
        default_domain: undefined,
        ...person,
        singleton: true,
        view_mode: 'fullscreen',
        persistent_store: 'sessionStorage',
        clear_cache_on_logout: true,
        reuse_scram_keys: false,
        allow_bookmarks: false,
        auto_register_muc_nickname: false,
        muc_nickname_from_jid: false,
    });
    if (inner.api.connection.get()?.connected) return show(true);
    const done = signedIn(inner);
    done.catch(() => {});
    if (!isFirst) {
        // The door was shut before: the client is there, and knocks again.
        inner.api.settings.set(person);
        await inner.api.user.login(page.guests);
    }
    await done;
}

function isMine(jid) {
    return Boolean(jid?.endsWith(`@${page.domain}`));
}

// --- the page -------------------------------------------------------------------------------------------------

onSubmit('sign-in', signIn);
onSubmit('register', makeAccount);
const door = onSubmit('visit', visit);

const known = localStorage.getItem(sessionKey);
if (page.kind === 'home' && isMine(known)) goOn(known).catch(() => show(false));
if (page.kind === 'room' && door) {
    const nick = sessionStorage.getItem(guestKey);
    if (nick) {
        door.elements.nick.value = nick;
        door.requestSubmit();
    }
}

for (const button of document.querySelectorAll('[data-copy]')) {
    button.hidden = !navigator.clipboard;
    button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = words.copied;
    });
}
document.documentElement.classList.add('ready');
