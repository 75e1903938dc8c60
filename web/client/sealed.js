// Seals what Converse keeps on this device. It writes through stores of localForage (IndexedDB and sessionStorage); each is
// covered by one that seals names and values before they go there. Names hold the addresses of contacts, so they are sealed
// too: always to the same text, or nothing would be found again (AES-GCM-SIV, RFC 8452). Values differ each time
// (XChaCha20-Poly1305) and are bound to their name. While its key is locked a store is empty and keeps nothing.

const MARK = 'kim1.';
const NONCE_BYTES = 24;
const NO_NONCE = new Uint8Array(12);

let ciphers = null;

/** Fetches the ciphers; `base` is where the client's files are. */
export function loadCiphers(base) {
    ciphers ??= Promise.all([import(`${base}noble/aes.js`), import(`${base}noble/chacha.js`)])
        .then(([{ gcmsiv }, { xchacha20poly1305 }]) => ({ gcmsiv, xchacha20poly1305 }));
    ciphers.catch(() => { ciphers = null; });
    return ciphers;
}

function toText(bytes) {
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
}

const toBytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Seals and opens with one key. */
class Sealer {
    #names = new Map();
    #encoder = new TextEncoder();
    #decoder = new TextDecoder();

    constructor(key, { gcmsiv, xchacha20poly1305 }) {
        const [forNames, forValues] = [key.slice(0, 32), key.slice(32)];
        this.names = () => gcmsiv(forNames, NO_NONCE);
        this.values = (nonce, name) => xchacha20poly1305(forValues, nonce, this.#encoder.encode(name));
    }

    /** The name under which something is kept. */
    name(name) {
        let sealed = this.#names.get(name);
        if (!sealed) {
            sealed = MARK + toText(this.names().encrypt(this.#encoder.encode(name)));
            this.#names.set(name, sealed);
        }
        return sealed;
    }

    /** What was kept under that name; `null` if it is none of this key's. */
    plainName(sealed) {
        if (!sealed.startsWith(MARK)) return null;
        try {
            return this.#decoder.decode(this.names().decrypt(toBytes(sealed.slice(MARK.length))));
        } catch {
            return null;
        }
    }

    seal(name, value) {
        const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
        const sealed = this.values(nonce, name).encrypt(this.#encoder.encode(JSON.stringify(value ?? null)));
        const bytes = new Uint8Array(NONCE_BYTES + sealed.length);
        bytes.set(nonce);
        bytes.set(sealed, NONCE_BYTES);
        return toText(bytes);
    }

    /** What was sealed; `null` if it does not open. */
    open(name, text) {
        try {
            const bytes = toBytes(text);
            const plain = this.values(bytes.subarray(0, NONCE_BYTES), name).decrypt(bytes.subarray(NONCE_BYTES));
            return JSON.parse(this.#decoder.decode(plain));
        } catch {
            return null;
        }
    }
}

/** As much of a store of localForage as Converse uses, sealed. What is written is sealed before anything is waited for. */
class SealedStore {
    constructor(inner, sealer) {
        this.inner = inner;
        this.sealer = sealer;
    }

    config() {
        return this.inner.config();
    }

    ready() {
        return this.inner.ready();
    }

    async getItem(name) {
        const sealer = this.sealer();
        if (!sealer) return null;
        const sealed = sealer.name(name);
        const kept = await this.inner.getItem(sealed);
        return kept === null || kept === undefined ? null : sealer.open(sealed, kept);
    }

    async getItems(names) {
        // Not `getItems` of the store: that one reads everything between the first name and the last, and sealed names that
        // belong together do not stand together.
        const values = await Promise.all(names.map((name) => this.getItem(name)));
        const found = names.map((name, at) => [name, values[at]]);
        return Object.fromEntries(found.filter(([, value]) => value !== null));
    }

    async setItem(name, value) {
        const sealer = this.sealer();
        if (sealer) {
            const sealed = sealer.name(name);
            await this.inner.setItem(sealed, sealer.seal(sealed, value));
        }
        return value;
    }

    async setItems(items) {
        const sealer = this.sealer();
        if (sealer) {
            const kept = {};
            for (const [name, value] of Object.entries(items)) {
                const sealed = sealer.name(name);
                kept[sealed] = sealer.seal(sealed, value);
            }
            await this.inner.setItems(kept);
        }
        return items;
    }

    async removeItem(name) {
        const sealer = this.sealer();
        if (sealer) await this.inner.removeItem(sealer.name(name));
    }

    async keys() {
        const sealer = this.sealer();
        if (!sealer) return [];
        const names = (await this.inner.keys()).map((sealed) => sealer.plainName(sealed));
        return names.filter((name) => name !== null);
    }

    length() {
        return this.inner.length();
    }

    clear() {
        return this.inner.clear();
    }

    /** Removes what nobody can read any more: of an earlier key, and of a time before anything was sealed. */
    async removeUnreadable() {
        const sealer = this.sealer();
        if (!sealer) return;
        const names = await this.inner.keys();
        await Promise.all(names.filter((name) => sealer.plainName(name) === null).map((name) => this.inner.removeItem(name)));
    }
}

/** Covers the stores of Converse. To be called once its ciphers are there, before anybody signs in. */
export async function sealStores(base) {
    const loaded = await loadCiphers(base);
    return ({ storage }, vault) => {
        const sealers = new WeakMap();
        const sealer = (account) => () => {
            const key = vault.key(account);
            if (!key) return null;
            if (!sealers.has(key)) sealers.set(key, new Sealer(key, loaded));
            return sealers.get(key);
        };
        const session = new SealedStore(storage.session, sealer(''));
        storage.session = session;
        let persistent;
        Object.defineProperty(storage, 'persistent', {
            get: () => persistent,
            // Guests have the same store for both.
            set: (store) => {
                const isCovered = store === session;
                persistent = isCovered ? store : new SealedStore(store, sealer(store.config().storeName));
            },
        });
    };
}
