// What the additions to Converse share: its own elements are replaced before the browser knows them, and sentences are filled.

/** Puts values into the places marked `{}` of a sentence, one after the other. */
export function fill(sentence, ...values) {
    return values.reduce((text, value) => text.replace('{}', () => value), sentence);
}

/** Replaces an element of Converse by one that extends it. It works until Converse has registered its elements. */
export function extendElement(api, name, extend) {
    const { registry } = api.elements;
    // A later Converse may have dropped it: then there is nothing to extend, and chatting goes on.
    if (registry[name]) registry[name] = extend(registry[name]);
    else console.warn(`no element ${name} in this Converse`);
}

/** What Converse's dialogs extend. */
export function dialogClass(api) {
    return Object.getPrototypeOf(api.elements.registry['converse-add-muc-modal']);
}

/** The reason that a server gave in the answer to a request; empty if it gave none. */
export function reasonIn(error) {
    const element = error?.iq ?? error;
    return element?.querySelector?.('error > text')?.textContent?.trim() ?? '';
}
