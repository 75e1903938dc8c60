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

/** Adds a form that is filled in to what is being built, and stays there. */
export function submitForm(builder, fields) {
    builder.c('x', { xmlns: 'jabber:x:data', type: 'submit' });
    for (const [name, value] of Object.entries(fields)) builder.c('field', { var: name }).c('value').t(value).up().up();
    return builder;
}

/** Executes a command (XEP-0050), with a form if there is one; gives a function that reads the fields of the answer. */
export async function execute(api, to, node, fields) {
    const { $iq } = window.converse.env;
    const commands = 'http://jabber.org/protocol/commands';
    const iq = $iq({ type: 'set', to }).c('command', { xmlns: commands, node, action: 'execute' });
    const answer = await api.sendIQ(fields ? submitForm(iq, fields) : iq);
    return (name) => answer.querySelector(`field[var="${name}"] > value`)?.textContent;
}

/** The reason that a server gave in the answer to a request; empty if it gave none. */
export function reasonIn(error) {
    const element = error?.iq ?? error;
    return element?.querySelector?.('error > text')?.textContent?.trim() ?? '';
}
