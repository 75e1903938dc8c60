// Holds the keys that seal what the client keeps on this device (sealed.js seals with them). There are two kinds:
//
// - An account's key seals what stays on the device. It is kept twice, never readable: under a key derived from the password,
//   which opens it at the next sign-in, and, while somebody is signed in, under a key of WebCrypto that the browser uses but
//   does not hand out, so that a reload needs no password. Signing out deletes the second.
// - A tab's key seals what goes with the tab, a guest's visit among it.
//
// In memory the keys are bytes: what is written while a page is being left must be sealed at once, and WebCrypto would answer
// too late.

const DATABASE = 'kim-vault';
const STORE = 'keys';
const KEY_BYTES = 64;
// OWASP's recommendation for PBKDF2 with SHA-256. Each record says with how many it was made.
const ITERATIONS = 600_000;
const TAB_KEY = 'kim-tab';
const TAB_MILLISECONDS_MAX = 30 * 86_400_000;

const utf8 = (text) => new TextEncoder().encode(text);
const random = (length) => crypto.getRandomValues(new Uint8Array(length));

function done(request) {
    return new Promise((resolve, reject) => {
        request.addEventListener('success', () => resolve(request.result));
        request.addEventListener('error', () => reject(request.error));
    });
}

let opened = null;

/** Does something with the table of keys. */
async function table(mode, work) {
    if (!opened) {
        const request = indexedDB.open(DATABASE, 1);
        request.addEventListener('upgradeneeded', () => request.result.createObjectStore(STORE));
        opened = done(request);
        opened.catch(() => { opened = null; });
    }
    return done(work((await opened).transaction(STORE, mode).objectStore(STORE)));
}

const read = (name) => table('readonly', (store) => store.get(name));
const write = (name, record) => table('readwrite', (store) => store.put(record, name));
const remove = (name) => table('readwrite', (store) => store.delete(name));

/** A key that the browser uses and hands out to nobody. */
const deviceKey = () => crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);

async function passwordKey(password, salt, iterations) {
    const material = await crypto.subtle.importKey('raw', utf8(password.normalize('NFKC')), 'PBKDF2', false, ['deriveKey']);
    const how = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations };
    return crypto.subtle.deriveKey(how, material, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
}

async function wrap(key, name, bytes) {
    const iv = random(12);
    const how = { name: 'AES-GCM', iv, additionalData: utf8(name) };
    return { iv, bytes: new Uint8Array(await crypto.subtle.encrypt(how, key, bytes)) };
}

async function unwrap(key, name, wrapped) {
    const how = { name: 'AES-GCM', iv: wrapped.iv, additionalData: utf8(name) };
    return new Uint8Array(await crypto.subtle.decrypt(how, key, wrapped.bytes));
}

/** The keys of this page. */
export class Vault {
    /** By account, and the tab's under the empty name. */
    #keys = new Map();

    /** What is to be kept once the server has let somebody in. */
    #waiting = null;

    /** The key of an account, or the tab's; nothing while it is locked. */
    key(account = '') {
        return this.#keys.get(account);
    }

    /**
     * Opens the key of an account with its password. If it does not open, or there is none, another one is made: whether the
     * password is right, only the server knows, so nothing is replaced before `keep`.
     */
    async unlock(account, password) {
        const record = await read(account).catch(() => undefined);
        if (record?.sealed) {
            const { salt, iterations, sealed } = record;
            const key = await unwrap(await passwordKey(password, salt, iterations), account, sealed).catch(() => null);
            if (key) {
                this.#keys.set(account, key);
                this.#waiting = { account, isNew: false, record: { salt, iterations, sealed } };
                return;
            }
        }
        const [key, salt] = [random(KEY_BYTES), random(16)];
        const sealed = await wrap(await passwordKey(password, salt, ITERATIONS), account, key);
        this.#keys.set(account, key);
        this.#waiting = { account, isNew: true, record: { salt, iterations: ITERATIONS, sealed } };
    }

    /** The server took the password: from now on a reload opens the key. Tells whether it is a new one. */
    async keep(account) {
        const waiting = this.#waiting;
        if (waiting?.account !== account) return false;
        this.#waiting = null;
        const device = await deviceKey();
        const open = await wrap(device, account, this.key(account));
        await write(account, { ...waiting.record, device, open });
        return waiting.isNew;
    }

    /** Opens the key of somebody who is signed in; false if nobody is. */
    async reopen(account) {
        try {
            const { device, open } = await read(account);
            this.#keys.set(account, await unwrap(device, account, open));
            return true;
        } catch {
            return false;
        }
    }

    /** Opens the tab's key, or makes one; then what is left of an earlier one cannot be read and goes. */
    async openTab() {
        if (this.key()) return;
        const name = sessionStorage.getItem(TAB_KEY) ?? crypto.randomUUID();
        try {
            const { device, open } = await read(name);
            this.#keys.set('', await unwrap(device, name, open));
            return;
        } catch {
            emptyTab();
        }
        const key = random(KEY_BYTES);
        this.#keys.set('', key);
        try {
            const device = await deviceKey();
            await write(name, { device, open: await wrap(device, name, key), made: Date.now() });
            sessionStorage.setItem(TAB_KEY, name);
            await forgetOldTabs();
        } catch (error) {
            // Without a place for the key there is no going on after a reload, and no reason not to chat.
            console.warn(error);
        }
    }

    /** Nobody is signed in here any more: what is on the device opens with the password alone. */
    async close(account) {
        this.#waiting = null;
        for (const key of this.#keys.values()) key.fill(0);
        this.#keys.clear();
        const tab = sessionStorage.getItem(TAB_KEY);
        emptyTab();
        try {
            if (tab) await remove(tab);
            const record = account && await read(account);
            if (record) await write(account, { salt: record.salt, iterations: record.iterations, sealed: record.sealed });
        } catch (error) {
            console.warn(error);
        }
    }
}

/** Removes what Converse keeps with the tab. */
function emptyTab() {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith('converse-session/')) sessionStorage.removeItem(key);
    sessionStorage.removeItem(TAB_KEY);
}

/** Tabs close without a word: their keys go after some time. */
async function forgetOldTabs() {
    const names = await table('readonly', (store) => store.getAllKeys());
    for (const name of names) {
        const made = (await read(name))?.made;
        if (made !== undefined && Date.now() - made > TAB_MILLISECONDS_MAX) await remove(name);
    }
}
